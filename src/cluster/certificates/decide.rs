//! What to do about the Secret: a pure function of what is in it, what this replica knows, and the time.

use super::{
    KeeperSettings,
    bundle::Trust,
    contents::{Contents, Material, Part},
    x509::{Certificate, Flaw, MakeError, Pair, earlier, later, make_authority, make_serving},
};
use jiff::Timestamp;
use std::{collections::BTreeSet, fmt};

/// What one replica knows besides the Secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    /// The time on the wall: a monotonic clock stands still while a machine sleeps.
    pub(super) now: Timestamp,
    /// How late within its window this replica replaces things, from 0 to 1.
    pub(super) jitter: f64,
    /// The last complete set this replica has seen in the Secret.
    pub(super) remembered: Option<&'a Material>,
    /// The pair this replica serves with, and the CA it was trusted by.
    pub(super) served: Option<&'a Served>,
    /// Which CAs `caBundle` has been seen to hold, and since when.
    pub(super) trust: &'a Trust,
}

/// A pair in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) pair: Pair,
    pub(super) issuer: Certificate,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The Secret holds what it should.
    Keep(Box<Material>),
    /// The Secret has to be written.
    Write(Box<Draft>),
}

/// What the Secret is to hold: parts that are there, and parts to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    /// The CA; `None` to make one.
    pub(super) authority: Option<Pair>,
    /// The CAs before it.
    pub(super) previous: Vec<Certificate>,
    /// The serving pair; `None` to make one.
    pub(super) serving: Option<Pair>,
    /// The names for a serving pair that is made.
    pub(super) names: BTreeSet<String>,
    /// Why the Secret is written.
    pub(super) reasons: Vec<Reason>,
}

/// Why one part of the Secret is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) part: SecretPart,
    pub(super) why: Why,
}

/// A part of the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecretPart {
    /// The CA that signs.
    Authority,
    /// The CAs before it.
    Previous,
    /// The serving pair.
    Serving,
}

/// Why a part is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    #[error("is missing")]
    Missing,
    #[error("has lost its key, which asks for a new one")]
    Asked,
    #[error("{0}")]
    Flawed(#[from] Flaw),
    #[error("expired at {0}")]
    Expired(Timestamp),
    #[error("is valid only from {0} on, so a clock is wrong")]
    Early(Timestamp),
    #[error("was due for replacement at {0}")]
    Due(Timestamp),
    #[error("is not for {}", .0.join(", "))]
    Lacks(Vec<String>),
    #[error("was signed by no CA of the bundle")]
    Foreign,
    #[error("was signed by a CA that has been replaced")]
    Replaced,
    #[error("is taken from the memory of this replica")]
    Restored,
    #[error("signed the pair that this replica serves with, and stays trusted for now")]
    InUse,
    #[error("is no longer in use")]
    Superseded,
}

/// How the parts are put together.
struct Decision<'a> {
    situation: Situation<'a>,
    settings: &'a KeeperSettings,
    reasons: Vec<Reason>,
}

/// What to do about a Secret with these `contents`. Nothing is made here, so that equal situations give equal answers.
pub(super) fn decide(contents: &Contents, situation: Situation<'_>, settings: &KeeperSettings) -> Action {
    let mut decision = Decision { situation, settings, reasons: Vec::new() };
    let (authority, mut previous) = decision.authority(contents);
    decision.carry_over(authority.as_ref(), &mut previous);
    let (serving, names) = decision.serving(contents, authority.as_ref(), &previous);
    let previous = decision.still_needed(previous, authority.as_ref(), serving.as_ref());
    match (authority, serving) {
        (Some(authority), Some(serving)) if decision.reasons.is_empty() => {
            Action::Keep(Box::new(Material { authority, previous, serving }))
        }
        (authority, serving) => {
            Action::Write(Box::new(Draft { authority, previous, serving, names, reasons: decision.reasons }))
        }
    }
}

// === impl Draft ===

impl Draft {
    /// Makes what is not there yet; and a new CA, where a pair that the CA signs would not be trusted by it.
    pub(super) fn make(self, now: Timestamp, settings: &KeeperSettings) -> Result<Material, MakeError> {
        let Self { mut authority, previous, mut serving, names, .. } = self;
        if serving.is_none()
            && let Some(read) = &authority
        {
            let made = make_serving(now, settings, &names, read).ok();
            serving = made.filter(|pair| pair.issuer(std::slice::from_ref(&read.certificate), now).is_some());
            if serving.is_none() {
                // Damaged, or with a name that is written differently here: nobody would trust what it signs, and the
                // next look would find a pair to replace again.
                authority = None;
            }
        }
        let authority = authority.map_or_else(|| make_authority(now, settings), Ok)?;
        let serving = serving.map_or_else(|| make_serving(now, settings, &names, &authority), Ok)?;
        Ok(Material { authority, previous, serving })
    }
}

// === impl Decision ===

impl Decision<'_> {
    /// The CA that signs, `None` for a new one, and the CAs before it.
    fn authority(&mut self, contents: &Contents) -> (Option<Pair>, Vec<Certificate>) {
        let mut previous = contents.previous.clone();
        let found = match &contents.authority {
            Part::Good(pair) => Some((**pair).clone()),
            Part::Missing if contents.authority_asked => {
                self.because(SecretPart::Authority, Why::Asked);
                None
            }
            Part::Missing => self.restored_authority(Why::Missing, &mut previous),
            Part::Flawed(flaw) => self.restored_authority(Why::Flawed(flaw.clone()), &mut previous),
        };
        let Some(found) = found else { return (None, previous) };
        match self.end_of(&found.certificate) {
            None => (Some(found), previous),
            Some(why) => {
                self.because(SecretPart::Authority, why);
                previous.insert(0, found.certificate);
                (None, previous)
            }
        }
    }

    /// The CA of the last complete set: serving goes on without anybody having to trust a new CA.
    fn restored_authority(&mut self, why: Why, previous: &mut Vec<Certificate>) -> Option<Pair> {
        self.because(SecretPart::Authority, why);
        let remembered = self.situation.remembered?;
        self.because(SecretPart::Authority, Why::Restored);
        previous.extend(remembered.previous.iter().cloned());
        Some(remembered.authority.clone())
    }

    /// Why a certificate cannot stay, going by its dates.
    fn end_of(&self, certificate: &Certificate) -> Option<Why> {
        let now = self.situation.now;
        let due = certificate.due(self.situation.jitter);
        match certificate {
            _ if certificate.is_expired(now) => Some(Why::Expired(certificate.not_after)),
            // Backdating forgives clocks that are a little apart. Whoever sees a date beyond that cannot use it.
            _ if certificate.is_early(now) => Some(Why::Early(certificate.not_before)),
            _ if now >= due => Some(Why::Due(due)),
            _ => None,
        }
    }

    /// Keeps the CA trusted whose certificate this replica serves with, whoever replaced the Secret's contents.
    fn carry_over(&mut self, authority: Option<&Pair>, previous: &mut Vec<Certificate>) {
        let Some(served) = self.situation.served else { return };
        let known = authority.is_some_and(|pair| pair.certificate == served.issuer);
        if !known && !previous.contains(&served.issuer) && served.issuer.is_current(self.situation.now) {
            self.because(SecretPart::Previous, Why::InUse);
            previous.push(served.issuer.clone());
        }
    }

    /// The serving pair, `None` for a new one, and the names for a new one.
    fn serving(
        &mut self,
        contents: &Contents,
        authority: Option<&Pair>,
        previous: &[Certificate],
    ) -> (Option<Pair>, BTreeSet<String>) {
        let names = self.settings.all_names();
        let roots: Vec<_> =
            authority.map(|pair| pair.certificate.clone()).into_iter().chain(previous.to_vec()).collect();
        let found = match &contents.serving {
            Part::Good(pair) => self.usable(pair, &roots),
            Part::Missing => Err(Why::Missing),
            Part::Flawed(flaw) => Err(Why::Flawed(flaw.clone())),
        };
        let found = found.or_else(|why| {
            self.because(SecretPart::Serving, why);
            self.restored_serving(&roots).ok_or(())
        });
        let Ok((pair, issuer)) = found else { return (None, names) };
        let signed_by_current = authority.is_some_and(|authority| authority.certificate == issuer);
        match self.wish(&pair, &names, signed_by_current) {
            Some(why) if signed_by_current || self.is_settled(authority) => {
                let names = names_beside(&why, &pair, names);
                self.because(SecretPart::Serving, why);
                (None, names)
            }
            // Until the new CA is trusted everywhere, a pair that works is better than the pair that is wished for.
            _ => (Some(pair), names),
        }
    }

    /// The pair and the CA it is trusted by, or why nobody could use it.
    fn usable(&self, pair: &Pair, roots: &[Certificate]) -> Result<(Pair, Certificate), Why> {
        let (now, certificate) = (self.situation.now, &pair.certificate);
        if certificate.is_expired(now) {
            return Err(Why::Expired(certificate.not_after));
        }
        if certificate.is_early(now) {
            return Err(Why::Early(certificate.not_before));
        }
        let issuer = pair.issuer(roots, now).ok_or(Why::Foreign)?;
        Ok((pair.clone(), issuer.clone()))
    }

    fn restored_serving(&mut self, roots: &[Certificate]) -> Option<(Pair, Certificate)> {
        let remembered = self.situation.remembered?;
        let usable = self.usable(&remembered.serving, roots).ok()?;
        self.because(SecretPart::Serving, Why::Restored);
        Some(usable)
    }

    /// Why a pair that works should be replaced.
    fn wish(&self, pair: &Pair, names: &BTreeSet<String>, signed_by_current: bool) -> Option<Why> {
        let lacks = pair.lacks(names);
        if !lacks.is_empty() {
            return Some(Why::Lacks(lacks));
        }
        if !signed_by_current {
            return Some(Why::Replaced);
        }
        let due = pair.certificate.due(self.situation.jitter);
        (self.situation.now >= due).then_some(Why::Due(due))
    }

    /// Whether `caBundle` has held the CA for so long that every API server has seen it.
    fn is_settled(&self, authority: Option<&Pair>) -> bool {
        let since = authority.and_then(|pair| self.situation.trust.since(&pair.certificate));
        since.is_some_and(|since| later(since, self.settings.propagation) <= self.situation.now)
    }

    /// The CAs before the current one that somebody may still need.
    fn still_needed(
        &mut self,
        previous: Vec<Certificate>,
        authority: Option<&Pair>,
        serving: Option<&Pair>,
    ) -> Vec<Certificate> {
        let over = self.is_over(authority, serving);
        let mut needed: Vec<Certificate> = Vec::new();
        for certificate in previous {
            let doubled =
                needed.contains(&certificate) || authority.is_some_and(|pair| pair.certificate == certificate);
            let expired = certificate.is_expired(self.situation.now);
            let served = self.situation.served.is_some_and(|served| served.issuer == certificate);
            if doubled || expired || (over && !served) {
                let why = if expired { Why::Expired(certificate.not_after) } else { Why::Superseded };
                self.because(SecretPart::Previous, why);
            } else {
                needed.push(certificate);
            }
        }
        needed
    }

    /// Whether the serving pair is of the current CA and so old that every replica has it.
    fn is_over(&self, authority: Option<&Pair>, serving: Option<&Pair>) -> bool {
        let (Some(authority), Some(serving)) = (authority, serving) else { return false };
        let (now, settings) = (self.situation.now, self.settings);
        let made_long_ago =
            serving.certificate.not_before <= earlier(earlier(now, settings.overlap), settings.backdate);
        made_long_ago && serving.issuer(std::slice::from_ref(&authority.certificate), now).is_some()
    }

    fn because(&mut self, part: SecretPart, why: Why) {
        self.reasons.push(Reason { part, why });
    }
}

/// The names for the successor of `pair`. Replicas that are given different names, as during a roll-out, would
/// replace each other's pairs for ever; so names are only added, until the next replacement for another reason.
fn names_beside(why: &Why, pair: &Pair, names: BTreeSet<String>) -> BTreeSet<String> {
    match why {
        Why::Lacks(_) => names.into_iter().chain(pair.certificate.names.iter().cloned()).collect(),
        _ => names,
    }
}

// === impl Reason ===

impl Reason {
    /// Whether something was found that nobody should have left there.
    pub(super) const fn is_damage(&self) -> bool {
        matches!(self.why, Why::Flawed(_) | Why::Foreign | Why::Early(_))
    }
}

/// `the serving pair was due for replacement at …`
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            SecretPart::Authority => "the CA",
            SecretPart::Previous => "an earlier CA",
            SecretPart::Serving => "the serving pair",
        };
        write!(f, "{part} {}", self.why)
    }
}
