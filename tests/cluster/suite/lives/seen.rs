//! What was seen of one pod, container by container and run by run.

use super::{
    plan::Plan,
    watch::{Said, Word},
};
use std::collections::BTreeMap;

/// What was seen of one pod.
pub(super) struct Record {
    pub(super) plan: Plan,
    /// The pod as it was created.
    pub(super) pod: String,
    /// When its creation was asked for.
    pub(super) created: f64,
    /// When its deletion was asked for, and answered.
    pub(super) deleted: Option<Span>,
    /// Its phase at that time.
    pub(super) phase: String,
    /// When the API server first said that it has ended, or did not have it any more.
    pub(super) over: Option<f64>,
    pub(super) said: Vec<Said>,
}

/// The earliest and the latest time at which something may have happened, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: f64,
    pub(super) to: f64,
}

/// One run of a container.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    pub(super) starts: f64,
    pub(super) post_start_returned: Option<f64>,
    pub(super) ready: Option<f64>,
    pub(super) asked: Option<f64>,
    pub(super) pre_stop: Option<f64>,
    pub(super) pre_stop_returned: Option<f64>,
    pub(super) term: Option<f64>,
    pub(super) beat: Option<f64>,
    pub(super) ends: Option<f64>,
    pub(super) gone: Option<f64>,
}

// === impl Record ===

impl Record {
    /// The runs of each container.
    pub(super) fn runs(&self) -> BTreeMap<&str, Vec<Run>> {
        let mut all: BTreeMap<&str, Vec<Run>> = BTreeMap::new();
        for said in self.said.iter().filter(|said| said.word != Word::Gone) {
            let runs = all.entry(&said.name).or_default();
            if said.word == Word::Starts {
                runs.push(Run { starts: said.at, ..Run::default() });
            } else if let Some(run) = runs.last_mut() {
                run.note(said.word, said.at);
            }
        }
        // These come by our own clock, perhaps after the next start.
        for (name, runs) in &mut all {
            let gone = self.said.iter().filter(|said| said.word == Word::Gone && said.name == *name);
            for (run, gone) in runs.iter_mut().zip(gone) {
                run.gone = Some(gone.at);
            }
        }
        all
    }
}

// === impl Span ===

impl Span {
    pub(super) const fn at(time: f64) -> Self {
        Self { from: time, to: time }
    }

    pub(super) fn later(self, seconds: f64) -> Self {
        Self { to: self.to + seconds, ..self }
    }
}

// === impl Run ===

impl Run {
    fn note(&mut self, word: Word, at: f64) {
        match word {
            Word::PostStartReturned => self.post_start_returned = Some(at),
            Word::Ready => self.ready = Some(at),
            Word::Asked => self.asked = self.asked.or(Some(at)),
            Word::PreStop => self.pre_stop = Some(at),
            Word::PreStopReturned => self.pre_stop_returned = Some(at),
            Word::Term => self.term = self.term.or(Some(at)),
            Word::Beat => self.beat = Some(at),
            Word::Ends => self.ends = Some(at),
            Word::Starts | Word::PostStart | Word::AskedTooEarly | Word::Gone => {}
        }
    }

    /// Between these it was killed, if it was.
    pub(super) fn killed(&self) -> Option<Span> {
        let gone = self.gone.filter(|_| self.ends.is_none())?;
        Some(Span { from: self.beat.or(self.term)?, to: gone })
    }

    pub(super) fn ended(&self) -> Option<Span> {
        self.ends.map(Span::at).or_else(|| self.killed())
    }
}
