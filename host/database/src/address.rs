//! Where a database is: its URL, taken apart.

use std::path::PathBuf;
use std::str::FromStr as _;

use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;

/// Where a database is, and how it is reached.
#[derive(Clone)]
pub enum Address {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
    /// MySQL and MariaDB.
    MySql(Box<MySqlConnectOptions>),
}

/// What URLs look like.
pub(super) const EXPECTED: &str =
    "`sqlite:PATH`, `postgres://USER@HOST:PORT/DATABASE` or `mysql://USER@HOST:PORT/DATABASE` (for MariaDB too)";

impl Address {
    /// Takes `url` apart. `password` goes before one that stands in the URL.
    ///
    /// # Errors
    /// What is wrong with it, for people, without any password.
    pub fn parse(url: &str, password: Option<&str>) -> Result<Self, String> {
        let unusable = |reason: &str| {
            let shown = without_password(url);
            Err(format!("`{shown}` is not a database that this version can use{reason}: it takes {EXPECTED}"))
        };
        let Some((scheme, rest)) = url.split_once(':') else { return unusable("") };
        if scheme == "sqlite" {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return if path.is_empty() || path == ":memory:" { unusable("") } else { Ok(Self::Sqlite(path.into())) };
        }
        if !rest.starts_with("//") {
            return unusable("");
        }
        match scheme {
            "postgres" | "postgresql" => match PgConnectOptions::from_str(url) {
                Ok(options) if options.get_database().is_none() => unusable(", for it names no database"),
                Ok(options) => {
                    let options = options.application_name("fantascope");
                    let options = if let Some(password) = password { options.password(password) } else { options };
                    Ok(Self::Postgres(Box::new(options)))
                }
                Err(fault) => unusable(&format!(" ({})", reason(&fault))),
            },
            "mysql" | "mariadb" => match MySqlConnectOptions::from_str(url) {
                Ok(options) if options.get_database().is_none() => unusable(", for it names no database"),
                Ok(options) => {
                    let options = if let Some(password) = password { options.password(password) } else { options };
                    Ok(Self::MySql(Box::new(options)))
                }
                Err(fault) => unusable(&format!(" ({})", reason(&fault))),
            },
            _ => unusable(""),
        }
    }

    /// Whether it is a file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

/// What it is called in messages: without user and password.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = |host: &str, port: u16| match host.strip_prefix('/') {
            Some(_) => host.to_owned(),
            None => format!("{host}:{port}"),
        };
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(options) => {
                let host = options.get_socket().map_or(options.get_host().into(), |path| path.to_string_lossy());
                let database = options.get_database().unwrap_or_default();
                write!(f, "postgres://{}/{database}", place(&host, options.get_port()))
            }
            Self::MySql(options) => {
                let host = options.get_socket().map_or(options.get_host().into(), |path| path.to_string_lossy());
                let database = options.get_database().unwrap_or_default();
                write!(f, "mysql://{}/{database}", place(&host, options.get_port()))
            }
        }
    }
}

/// Passwords stay out.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({self})")
    }
}

/// `url` as it may be shown.
#[must_use]
pub fn without_password(url: &str) -> String {
    let hidden = |text: &str| -> String {
        let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        // A password may hold an `@` itself; and a `/` or the like, which are wrong there but no less secret.
        let end = if rest[..end].contains('@') { end } else { rest.rfind('@').map_or(end, |at| at + 1) };
        let Some((user, host)) = rest[..end].rsplit_once('@') else { return text.to_owned() };
        let Some((user, _)) = user.split_once(':') else { return text.to_owned() };
        format!("{scheme}://{user}:***@{host}{}", &rest[end..])
    };
    let shown = hidden(url);
    let Some((start, parameters)) = shown.split_once('?') else { return shown };
    let parameter = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}=***"),
        _ => parameter.to_owned(),
    };
    let parameters: Vec<String> = parameters.split('&').map(parameter).collect();
    format!("{start}?{}", parameters.join("&"))
}

fn reason(fault: &sqlx::Error) -> String {
    match fault {
        sqlx::Error::Configuration(fault) => fault.to_string(),
        fault => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls() {
        let check = |url: &str, expected: Result<&str, &str>| match (Address::parse(url, Some("secret")), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.to_string(), expected, "{url}"),
            (Err(fault), Err(expected)) => assert!(fault.contains(expected), "{url}: {fault}"),
            (found, _) => panic!("{url}: {found:?}"),
        };
        check("sqlite:a.db", Ok("a.db"));
        check("sqlite:///tmp/a.db", Ok("/tmp/a.db"));
        check("sqlite:", Err("`sqlite:` is not a database that this version can use"));
        check("sqlite::memory:", Err("it takes `sqlite:PATH`, `postgres://"));
        check("postgres://ann:pw@db:5433/shop?sslmode=verify-full", Ok("postgres://db:5433/shop"));
        check("postgresql://ann@db/shop", Ok("postgres://db:5432/shop"));
        check("postgres://ann@db", Err("it names no database"));
        check("postgres://ann@db/shop?sslmode=maybe", Err("maybe"));
        check("mysql://ann:pw@db/shop", Ok("mysql://db:3306/shop"));
        check("mariadb://ann@db:1/shop", Ok("mysql://db:1/shop"));
        check("oracle://x/y", Err("it takes `sqlite:PATH`"));
        check("postgres:ann", Err("it takes"));
        check("nonsense", Err("`nonsense` is not a database"));
    }

    #[test]
    fn shows_no_password() {
        for (url, shown) in [
            ("postgres://ann:p@ss@db/shop", "postgres://ann:***@db/shop"),
            (
                "postgres://ann@db/shop?sslmode=require&password=x",
                "postgres://ann@db/shop?sslmode=require&password=***",
            ),
            ("mysql://db/shop", "mysql://db/shop"),
            ("mysql://ann:p/w?d@db/shop", "mysql://ann:***@db/shop"),
            ("sqlite:a:b@c", "sqlite:a:b@c"),
        ] {
            assert_eq!(without_password(url), shown);
        }
        let address = Address::parse("postgres://ann:hidden@db/shop", None).expect("an address");
        assert!(!format!("{address:?} {address}").contains("hidden"));
    }
}
