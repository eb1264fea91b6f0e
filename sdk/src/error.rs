//! What a plugin's own code fails with.

use std::fmt;

/// What `apply` and `upcast` give: by default nothing, or why it failed.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Why an event could not be handled, and where in its payload.
///
/// Every `std::error::Error` becomes one through `?`; [`bail!`](crate::bail) makes
/// one from a message. The host puts the plugin, the position, the event's id and
/// its type in front, so the message needs none of these.
pub struct Error {
    // Boxed, so that a `Result<()>` stays one word: it is returned once per event.
    inner: Box<Inner>,
}

struct Inner {
    path: String,
    message: String,
}

impl Error {
    /// An error with a message: a lowercase fragment without a full stop.
    pub fn new(message: impl fmt::Display) -> Self {
        Self { inner: Box::new(Inner { path: String::new(), message: message.to_string() }) }
    }

    /// The same error, said to be at `path` of the payload. What it was at before
    /// comes behind: `.at("sku")` and then `.at("lines[2]")` give `lines[2].sku`.
    #[must_use]
    pub fn at(mut self, path: impl fmt::Display) -> Self {
        let inner = &mut self.inner;
        inner.path = match inner.path.as_str() {
            "" => path.to_string(),
            rest if rest.starts_with('[') => format!("{path}{rest}"),
            rest => format!("{path}.{rest}"),
        };
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Where in the payload, such as `lines[2].sku`; none if nowhere in particular.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        Some(self.inner.path.as_str()).filter(|path| !path.is_empty())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => write!(f, "at {path}: {}", self.message()),
            None => f.write_str(self.message()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// `Error` itself is no `std::error::Error`, or this would overlap with `From<T> for T`.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new(message)
    }
}

/// `.at("field")` on a result: says where in the payload an error arose.
///
/// ```
/// # use fantascope_sdk::prelude::*;
/// fn cents(total: &str) -> Result<i64> {
///     let euros: i64 = total.parse().at("total")?;
///     Ok(euros * 100)
/// }
/// assert_eq!(cents("x").unwrap_err().to_string(), "at total: invalid digit found in string");
/// ```
pub trait At<T> {
    /// The same result; an error is said to be at `path` of the payload.
    ///
    /// # Errors
    /// When the result is one.
    fn at(self, path: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> At<T> for Result<T, E> {
    fn at(self, path: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().at(path))
    }
}

/// Returns an [`Error`] with a message, formatted as by `format!`.
#[macro_export]
macro_rules! bail {
    ($($message:tt)+) => {
        return ::core::result::Result::Err($crate::Error::new(::core::format_args!($($message)+)))
    };
}

/// Returns an [`Error`] unless a condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            $crate::bail!($($message)+);
        }
    };
}
