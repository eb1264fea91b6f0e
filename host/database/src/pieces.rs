//! Many rows a statement, in few statements.

use std::ops::Range;

/// Cuts `0..rows` into pieces whose lengths are powers of two, none above `most`. So
/// there are only a few different statements, and each stays prepared: one for every
/// number of rows would be prepared again and again, and fill the cache.
pub fn pieces(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    pieces_within(rows, most, usize::MAX, |_| 0)
}

/// The same, and no piece has more than `bytes_max`, unless it is a single row; `bytes` says how
/// many a row has.
pub fn pieces_within(
    rows: usize,
    most: usize,
    bytes_max: usize,
    bytes: impl Fn(usize) -> usize,
) -> impl Iterator<Item = Range<usize>> {
    let largest = power_of_two_within(most.max(1));
    let mut start = 0;
    std::iter::from_fn(move || {
        let left = (rows - start).min(largest);
        if left == 0 {
            return None;
        }
        let mut room = bytes_max;
        let fits = (start..start + left).take_while(|&row| {
            let bytes = bytes(row);
            let fits = bytes <= room;
            room = room.saturating_sub(bytes);
            fits
        });
        let piece = start..start + power_of_two_within(fits.count().max(1));
        start = piece.end;
        Some(piece)
    })
}

/// The largest power of two that is not above `number`, which is not 0.
fn power_of_two_within(number: usize) -> usize {
    1 << number.ilog2()
}

#[cfg(test)]
mod tests {
    use super::{pieces, pieces_within};

    #[test]
    fn cuts_into_powers_of_two() {
        let check = |rows, most, expected: &[usize]| {
            let found: Vec<_> = pieces(rows, most).collect();
            assert_eq!(found.iter().map(ExactSizeIterator::len).collect::<Vec<_>>(), expected, "{rows} by {most}");
            assert_eq!(found.iter().map(|piece| piece.len()).sum::<usize>(), rows);
        };
        check(0, 100, &[]);
        check(1, 100, &[1]);
        check(150, 100, &[64, 64, 16, 4, 2]);
        check(7, 0, &[1; 7]);
    }
    #[test]
    fn cuts_by_bytes_too() {
        let check = |sizes: &[usize], expected: &[usize]| {
            let found: Vec<_> = pieces_within(sizes.len(), 4, 10, |row| sizes[row]).collect();
            assert_eq!(found.iter().map(ExactSizeIterator::len).collect::<Vec<_>>(), expected, "{sizes:?}");
        };
        check(&[1; 9], &[4, 4, 1]);
        check(&[5, 5, 5, 5, 5], &[2, 2, 1]);
        check(&[3, 3, 3, 3], &[2, 2]);
        check(&[1, 99, 1, 1], &[1, 1, 2]);
        check(&[0, 10, 1], &[2, 1]);
    }
}
