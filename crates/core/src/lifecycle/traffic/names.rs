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
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphanumeric()) {
            word.push(c.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What the name of a flag or variable says about the address or port that is its value.
#[must_use]
pub(super) fn meaning(name: &str) -> Meaning {
    // No name that means anything is longer.
    if name.len() > 64 {
        return Meaning::Open;
    }
    let words = words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&&**word));
    let listens = words.iter().any(|word| word.starts_with("listen") || word == "bind");
    let (first, last) = (words.first().map_or("", |word| word), words.last().map_or("", |word| word));
    let is_address = ADDRESS.contains(&last);
    match words.len() {
        _ if listens => Meaning::Serves,
        _ if has(&OTHERS) => Meaning::Asks,
        1 if matches!(last, "port" | "p" | "address" | "addr") => Meaning::Serves,
        _ if is_address && OWN.contains(&first) => Meaning::Serves,
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
