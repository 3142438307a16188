//! Ports and sockets of the own pod in a text: a command, a flag's value, a variable.

/// Ways to write the pod's own address.
const HOSTS: [&str; 5] = ["localhost", "127.", "0.0.0.0", "[::1]", "::1"];

/// The ports that a URL without one means.
const SCHEMES: [(&str, i64); 14] = [
    ("http", 80),
    ("https", 443),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("mysql", 3306),
    ("mariadb", 3306),
    ("redis", 6379),
    ("rediss", 6379),
    ("mongodb", 27017),
    ("amqp", 5672),
    ("amqps", 5671),
    ("memcached", 11211),
    ("nats", 4222),
    ("ldap", 389),
];

/// The ports of the own pod that `text` names: `localhost:8080` in any spelling, `redis://127.0.0.1`, `nc localhost 8080`,
/// `host=localhost port=5432`. Of variables those count that hold the pod's address, given as `own`.
#[must_use]
pub fn ports_in(text: &str) -> Vec<i64> {
    // Hardly any text has one.
    if !HOSTS.into_iter().any(|host| text.contains(host)) {
        return Vec::new();
    }
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ';' | '|' | '<' | '>');
    let mut words = text.split(is_end).filter(|word| !word.is_empty());
    let mut ports = ports_behind_hosts(words.clone());
    let mut word = words.next();
    while let Some(this) = word {
        word = words.next();
        ports.extend(in_word(this, word));
    }
    ports
}

/// The ports that are given apart from the own host, behind it: `host=localhost port=5432`, `-h localhost -p 5432`.
pub(super) fn ports_behind_hosts<'t>(words: impl Iterator<Item = &'t str>) -> Vec<i64> {
    let mut ports = Vec::new();
    let (mut is_local, mut key) = (false, "");
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((key, word));
        // The name of an option whose value comes next.
        key = if word.starts_with('-') && !word.contains('=') { word } else { "" };
        match name {
            "-h" | "-H" | "--host" | "--hostname" | "host" | "hostaddr" | "dbhost" => {
                is_local = is_own_host(value) && value != "0.0.0.0";
            }
            "-p" | "-P" | "--port" | "port" if is_local => ports.extend(whole_number(value)),
            // `mysql -h127.0.0.1 -P6432`.
            _ => match (word.strip_prefix("-h"), word.strip_prefix("-P")) {
                (Some(host), _) if !host.is_empty() => {
                    is_local = is_own_host(host);
                }
                (_, Some(port)) if is_local => ports.extend(whole_number(port)),
                _ => {}
            },
        }
    }
    ports
}

/// The paths of Unix sockets that `text` names: `unix:/run/x`, or a file that is called so.
pub fn sockets_in(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ';' | '|' | ',' | '(' | ')' | '=' | '?');
    text.split(is_end).filter_map(|word| {
        let path = word.find('/').map(|at| &word[at..])?;
        let path = path.trim_start_matches('/');
        let path = &word[word.len() - path.len() - 1..];
        let path = path.split(':').next().unwrap_or(path);
        let extension = path.rsplit('.').next().unwrap_or_default();
        (word.starts_with("unix:") || matches!(extension, "sock" | "socket")).then_some(path)
    })
}

/// What stands behind the own host at the beginning of `text`, and that host.
#[must_use]
pub fn own_host(text: &str) -> Option<(&str, &str)> {
    let host = HOSTS.into_iter().find(|host| text.starts_with(host))?;
    let rest = &text[host.len()..];
    // The rest of 127.0.0.1.
    let more =
        if host == "127." { rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len()) } else { 0 };
    let (host, rest) = text.split_at(host.len() + more);
    let is_whole = !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    is_whole.then_some((host, rest))
}

/// Whether `text` is the own host and nothing else.
#[must_use]
pub fn is_own_host(text: &str) -> bool {
    own_host(text).is_some_and(|(_, rest)| rest.is_empty())
}

/// The number in front of the first other character.
#[must_use]
pub fn number(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok().filter(|port| (1..=65535).contains(port))
}

/// The ports in one word; `next` is the word behind it.
fn in_word(word: &str, next: Option<&str>) -> Vec<i64> {
    let mut ports = Vec::new();
    let mut at = 0;
    // A scheme counts for all hosts behind it, as in `mongodb://localhost,127.0.0.1`.
    let mut by_scheme = None;
    while let Some(begin) = next_own_host(word, at) {
        let Some((host, rest)) = own_host(&word[begin..]) else { break };
        let behind = word.len() - rest.len();
        let is_device = word[..begin].ends_with("/dev/tcp/");
        let explicit = rest.strip_prefix(if is_device { '/' } else { ':' }).and_then(number);
        // No host ends in what a scheme begins with, so none stands partly in front of `at`.
        if let Some((scheme, _)) = word[at..begin].rsplit_once("://") {
            by_scheme = scheme_port(scheme);
        }
        let by_next = || next.filter(|_| host.len() == word.len()).and_then(whole_number);
        // An IPv6 address may itself be followed by what looks like a port.
        ports.extend(explicit.or(by_scheme).or_else(by_next));
        at = behind.max(begin + 1);
    }
    ports
}

/// The next place, from `from` on, at which the own host stands as a whole.
fn next_own_host(word: &str, from: usize) -> Option<usize> {
    let begins = |at: usize| !word[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let rest = word.get(from..)?;
    let mut starts = rest.char_indices().map(|(at, _)| from + at);
    starts.find(|at| begins(*at) && own_host(&word[*at..]).is_some())
}

/// The port that a URL means whose scheme stands at the end of `front`.
fn scheme_port(front: &str) -> Option<i64> {
    let scheme = front.rsplit(|c: char| !c.is_ascii_alphanumeric()).next()?;
    SCHEMES.into_iter().find(|(name, _)| *name == scheme).map(|(_, port)| port)
}

fn whole_number(text: &str) -> Option<i64> {
    number(text).filter(|_| text.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("until curl -s http://localhost:8080/x && nc 127.0.0.1:90; do :; done", &[8080, 90])]
    #[case("until nc -z localhost 8080; do sleep 1; done", &[8080])]
    #[case("curl -s 'http://[::1]:8080/'", &[8080])]
    #[case("curl \"localhost\":81", &[])]
    #[case("curl http://db:8080", &[])]
    #[case("curl http://my-localhost:8080 http://localhost.example:1", &[])]
    #[case("echo localhost", &[])]
    #[case("mongodb://user:secret@127.0.0.1/db", &[27017])]
    #[case("user:secret@tcp(127.0.0.1:3306)/db?x=y", &[3306])]
    #[case("jdbc:postgresql://localhost/db", &[5432])]
    #[case("host=localhost user=a port=5433", &[5433])]
    #[case("host=db user=a port=5433", &[])]
    #[case("psql -h localhost -p 5432 -c x", &[5432])]
    #[case("pg_isready --host=127.0.0.1 --port=5433", &[5433])]
    #[case("psql -h db -p 5432", &[])]
    #[case("mysql -h127.0.0.1 -P6432 -e x", &[6432])]
    #[case("</dev/tcp/127.0.0.1/6432", &[6432])]
    #[case("server --host 0.0.0.0 --port 80", &[])]
    #[case("amqp://127.0.1.1:70000", &[5672])]
    #[case("http://localhost/a,http://127.0.0.1:9/b", &[80, 9])]
    #[case("mongodb://localhost,127.0.0.1/db", &[27017, 27017])]
    #[case("http://localhost/,odd://localhost/", &[80])]
    fn ports_are_found(#[case] text: &str, #[case] ports: &[i64]) {
        assert_eq!(ports_in(text), ports);
    }

    #[rstest]
    #[case("unix:///var/run/app", &["/var/run/app"])]
    #[case("--upstream=unix:/run/php/fpm.sock:/x", &["/run/php/fpm.sock"])]
    #[case("test -S /run/api.sock", &["/run/api.sock"])]
    #[case("cat /run/api", &[])]
    fn sockets_are_found(#[case] text: &str, #[case] paths: &[&str]) {
        assert_eq!(sockets_in(text).collect::<Vec<_>>(), paths);
    }
}
