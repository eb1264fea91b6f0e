//! Names of people.

use super::random::Random;

const FIRST: [&str; 40] = [
    "Ada", "Amir", "Anna", "Ben", "Carla", "Chen", "Clara", "David", "Elif", "Emma", "Erik", "Fatima", "Felix",
    "Grace", "Hanna", "Hugo", "Ines", "Jonas", "Julia", "Kofi", "Lena", "Leo", "Lucia", "Maria", "Mateo", "Mila",
    "Nadia", "Noah", "Olga", "Omar", "Paul", "Priya", "Rosa", "Samir", "Sofia", "Theo", "Uma", "Viktor", "Yara", "Zoe",
];

const LAST: [&str; 40] = [
    "Adeyemi", "Ahmed", "Andersen", "Bauer", "Becker", "Brown", "Castro", "Chen", "Costa", "Demir", "Dubois", "Evans",
    "Fischer", "Garcia", "Gupta", "Haas", "Ivanova", "Jansen", "Johnson", "Kaya", "Keller", "Kim", "Kowalski",
    "Larsen", "Lopez", "Martinez", "Mensah", "Meyer", "Moreau", "Nguyen", "Novak", "Okafor", "Patel", "Petrov",
    "Rossi", "Sato", "Schmidt", "Silva", "Tanaka", "Weber",
];

pub(super) fn first(random: &mut Random) -> &'static str {
    random.pick(&FIRST)
}

pub(super) fn last(random: &mut Random) -> &'static str {
    random.pick(&LAST)
}

/// As people sign in: `sofia.martinez`.
pub(super) fn login(first: &str, last: &str) -> String {
    format!("{first}.{last}").to_lowercase()
}
