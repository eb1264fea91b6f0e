//! Checks that run while a plugin is compiled.

/// Whether a name of a projection, an upcaster, a table or a column is one that
/// every database takes unquoted: `^[a-z][a-z0-9_]{0,62}$`.
#[must_use]
pub const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > 63 || !bytes[0].is_ascii_lowercase() {
        return false;
    }
    let mut at = 1;
    while at < bytes.len() {
        if !(bytes[at].is_ascii_lowercase() || bytes[at].is_ascii_digit() || bytes[at] == b'_') {
            return false;
        }
        at += 1;
    }
    true
}

/// `a == b`, which `const` code can't say of texts yet.
pub(crate) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Whether all names differ.
#[must_use]
pub const fn are_distinct(names: &[&str]) -> bool {
    let mut a = 0;
    while a < names.len() {
        let mut b = a + 1;
        while b < names.len() {
            if same(names[a], names[b]) {
                return false;
            }
            b += 1;
        }
        a += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_that_every_database_takes() {
        for name in ["a", "orders", "a1_b", &"x".repeat(63)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "1a", "_a", "Orders", "a-b", "a b", "ä", &"x".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn tells_equal_names() {
        assert!(are_distinct(&["a", "b", "ab"]));
        assert!(!are_distinct(&["a", "b", "a"]));
    }
}
