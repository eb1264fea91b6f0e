//! Many rows a statement, in few statements.

use std::ops::Range;

/// Cuts `0..rows` into pieces whose lengths are powers of two, none above `most`. So
/// there are only a few different statements, and each stays prepared: one for every
/// number of rows would be prepared again and again, and fill the cache.
pub(crate) fn pieces(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let largest = power_of_two_within(most.max(1));
    let mut start = 0;
    std::iter::from_fn(move || {
        let left = rows - start;
        if left == 0 {
            return None;
        }
        let piece = start..start + power_of_two_within(left.min(largest));
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
    use super::pieces;

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
}
