//! What the names of flags and variables say: whether a port is served or asked.

/// What a flag or variable says about a port or address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The container serves it.
    Serves,
    /// The container asks it.
    Asks,
    /// That depends on the value, and a bare number says nothing.
    Open,
}

/// Words that say that somebody else is behind the port.
const OTHERS: [&str; 17] = [
    "upstream",
    "upstreams",
    "backend",
    "target",
    "remote",
    "origin",
    "app",
    "application",
    "destination",
    "dest",
    "forward",
    "scrape",
    "uri",
    "dsn",
    "peer",
    "connect",
    "webhook",
];

/// Words that say that the own server is behind the port, where they stand first.
const OWN: [&str; 17] = [
    "http",
    "https",
    "grpc",
    "metrics",
    "metric",
    "health",
    "healthz",
    "admin",
    "server",
    "status",
    "probe",
    "web",
    "api",
    "monitoring",
    "prometheus",
    "telemetry",
    "debug",
];

/// What stands at the end of a name that holds an address or a port.
const ADDRESS: [&str; 9] = ["port", "ports", "address", "addr", "host", "hostport", "listener", "socket", "endpoint"];

/// The words of a name: `http-listen.address`, `HTTP_PORT`, `listenAddress`.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let bytes = rest.as_bytes();
        let is_end = |at: &usize| {
            let begins = bytes[*at].is_ascii_uppercase() && *at > 0 && !bytes[*at - 1].is_ascii_uppercase();
            begins || !bytes[*at].is_ascii_alphanumeric()
        };
        let end = (0..bytes.len()).find(is_end).unwrap_or(bytes.len());
        let (word, behind) = rest.split_at_checked(end)?;
        rest = behind;
        (!word.is_empty()).then_some(word)
    })
}

/// What the name of a flag or variable says about the address or port that is its value.
#[must_use]
pub(super) fn meaning(name: &str) -> Meaning {
    // No name that means anything is longer.
    if name.len() > 64 {
        return Meaning::Open;
    }
    let is = |word: &str, list: &[&str]| list.iter().any(|other| word.eq_ignore_ascii_case(other));
    let begins = |word: &str, with: &str| word.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    let (mut count, mut first, mut last, mut asks) = (0, "", "", false);
    for word in words(name) {
        if begins(word, "listen") || word.eq_ignore_ascii_case("bind") {
            return Meaning::Serves;
        }
        asks |= is(word, &OTHERS);
        count += 1;
        first = if count == 1 { word } else { first };
        last = word;
    }
    match count {
        _ if asks => Meaning::Asks,
        1 if is(last, &["port", "p", "address", "addr"]) => Meaning::Serves,
        _ if is(last, &ADDRESS) && is(first, &OWN) => Meaning::Serves,
        _ => Meaning::Open,
    }
}

/// The part of a name that it shares with others of the same thing, where it ends in `end`: `DB_HOST` and `DB_PORT`.
#[must_use]
pub(super) fn stem<'n>(name: &'n str, ends: &[&str]) -> Option<&'n str> {
    let is_mark = |c: char| matches!(c, '_' | '-' | '.');
    ends.iter().find_map(|end| {
        let at = name.len().checked_sub(end.len())?;
        let (stem, tail) = name.split_at_checked(at)?;
        let is_whole = stem.is_empty()
            || stem.ends_with(is_mark)
            || *end == "HOST" && stem == "PG"
            || *end == "PORT" && stem == "PG";
        (tail.eq_ignore_ascii_case(end) && is_whole).then(|| stem.trim_end_matches(is_mark))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("port", Meaning::Serves)]
    #[case("web.listen-address", Meaning::Serves)]
    #[case("health-probe-bind-address", Meaning::Serves)]
    #[case("http-address", Meaning::Serves)]
    #[case("HTTP_PORT", Meaning::Serves)]
    #[case("listenAddress", Meaning::Serves)]
    #[case("redis.addr", Meaning::Open)]
    #[case("REDIS_ADDR", Meaning::Open)]
    #[case("app-port", Meaning::Asks)]
    #[case("nginx.scrape-uri", Meaning::Asks)]
    #[case("upstream", Meaning::Asks)]
    #[case("log-level", Meaning::Open)]
    fn names(#[case] name: &str, #[case] means: Meaning) {
        assert_eq!(meaning(name), means);
    }

    #[rstest]
    #[case("DB_HOST", Some("DB"))]
    #[case("PGHOST", Some("PG"))]
    #[case("db-host", Some("db"))]
    #[case("GHOST", None)]
    #[case("HOST", Some(""))]
    fn stems(#[case] name: &str, #[case] expected: Option<&str>) {
        assert_eq!(stem(name, &["HOST"]), expected);
    }
}
