//! How much may come of a page: what would be too much is left to the next one.

use model::change::Upcasted;
use model::event::Batch;

/// What an event takes beside its texts.
const EVENT_BYTES: usize = 64;

/// Rows of a batch, and what came of them.
pub(super) type Part = (Vec<u32>, Upcasted);

/// How much of a batch can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    All,
    /// The rows before this one, at which a position begins.
    Before(usize),
    /// Not even the first position, which ends before this row.
    Nothing(usize),
}

/// What `upcasted` takes, for the most part.
pub(super) fn bytes_of(upcasted: &Upcasted) -> usize {
    upcasted.data.joined.len() + upcasted.type_codes.len() * EVENT_BYTES
}

/// How much of `batch` can be kept, of whose rows this was `made`; those from `undone` on were
/// not looked at, for there is too much already.
pub(super) fn fit(batch: &Batch, made: &[Part], undone: usize, bytes_max: usize) -> Fit {
    if undone == batch.len() && at_most(batch, made) <= bytes_max {
        return Fit::All;
    }
    let sizes = sizes(batch, made);
    let (mut bytes, mut start) = (0, 0);
    for position in batch.positions.chunk_by(|one, other| one == other) {
        let end = start + position.len();
        bytes += sizes[start..end].iter().sum::<usize>();
        if bytes > bytes_max || end > undone {
            return if start == 0 { Fit::Nothing(end) } else { Fit::Before(start) };
        }
        start = end;
    }
    Fit::All
}

/// More than all of it can be, in a few additions.
fn at_most(batch: &Batch, made: &[Part]) -> usize {
    let texts = [&batch.aggregate_ids, &batch.metadata, &batch.user_ids, &batch.correlation_ids, &batch.causation_ids];
    let without_data = batch.len() * EVENT_BYTES + texts.iter().map(|texts| texts.joined.len()).sum::<usize>();
    let most = made.iter().flat_map(|(_, upcasted)| &upcasted.counts).max().map_or(1, |&count| count.max(1));
    let data: usize = made.iter().map(|(_, upcasted)| upcasted.data.joined.len()).sum();
    batch.data.joined.len() + data + without_data.saturating_mul(most as usize)
}

/// What comes of each row; of one of which nothing was made, the row itself.
fn sizes(batch: &Batch, made: &[Part]) -> Vec<usize> {
    let without_data = |row: usize| {
        let texts =
            [&batch.aggregate_ids, &batch.metadata, &batch.user_ids, &batch.correlation_ids, &batch.causation_ids];
        EVENT_BYTES + texts.iter().map(|texts| texts.get(row).len()).sum::<usize>()
    };
    let mut sizes: Vec<usize> = (0..batch.len()).map(|row| without_data(row) + batch.data.get(row).len()).collect();
    for (rows, upcasted) in made {
        let mut data = upcasted.data.iter().map(str::len);
        for (&row, &count) in rows.iter().zip(&upcasted.counts) {
            let (row, count) = (row as usize, count as usize);
            sizes[row] = count * without_data(row) + data.by_ref().take(count).sum::<usize>();
        }
    }
    sizes
}
