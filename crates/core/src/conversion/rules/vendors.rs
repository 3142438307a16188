//! Rules about what a vendor has to say about the native form of its sidecar.

use super::{Case, Move};
use crate::{
    catalogue::{Condition, Entry, Key},
    conversion::{
        knowledge::{
            bookkeeping::follow,
            words::{in_words, value_in_words},
        },
        model::{Change, NativeForm, ProbeOrigin},
    },
    pod::{Handler, Pod},
};

pub(super) fn vendor_switch(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let entry = the_move.selected.entry.filter(|entry| entry.has_vendor_form())?;
    Some(format!("{} can write the native form itself: {}", entry.vendor, entry.switch))
}

/// Everything that the catalogue changes beyond the move and `restartPolicy`.
pub(super) fn vendor_form(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let entry = the_move.selected.entry?;
    let mut changes = in_container(the_move);
    changes.extend(in_annotations(entry, the_move, case.pod));
    let without = left_out(entry, the_move);
    let vendor = &entry.vendor;
    Some(match (changes.is_empty(), without) {
        (true, None) => return None,
        (true, Some(without)) => format!("differs from the form of {vendor}: {without}"),
        (false, Some(without)) => format!("takes the form of {vendor}: {}; but {without}", changes.join(", ")),
        (false, None) => {
            let why = the_move.form.passed_over.map(|why| format!(" ({why})")).unwrap_or_default();
            format!("takes the form of {vendor}: {}{why}{}", changes.join(", "), way_out(entry, the_move))
        }
    })
}

/// Source: the vendor's documentation of the annotation, named in the catalogue.
pub(super) fn vendor_opt_out(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let entry = the_move.selected.entry?;
    let holds = |condition: &&Condition| condition.holds(case.pod, the_move.container());
    let Some(Key::Exact(key)) = &entry.opt_out.iter().find(holds)?.annotation else { return None };
    let value = case.pod.annotation(key).unwrap_or_default();
    let is_set = if entry.set_annotations.contains_key(key) { " and set anew" } else { "" };
    Some(format!(
        "is named, so {key}: {value:?}, which asks {} for the regular form, is overruled{is_set}; drop one of the two",
        entry.vendor
    ))
}

/// What a wish about the preStop hook does without, of what the vendor would have there.
fn left_out(entry: &Entry, the_move: &Move<'_>) -> Option<String> {
    let form = &the_move.form;
    let its = match &form.declined_pre_stop {
        Some(declined) => value_in_words(declined),
        None if form.pre_stop == Change::Remove && !form.pre_stop_is_vendors && entry.pre_stop.vendor_keeps => {
            in_words(the_move.container().pre_stop()?)
        }
        None => return None,
    };
    Some(format!("it is left without its preStop {its}, as pre-stop.native-sidecar.io/{} asks", the_move.name()))
}

fn in_container(the_move: &Move<'_>) -> Vec<String> {
    let (form, container) = (&the_move.form, the_move.container());
    let mut changes = Vec::new();
    if let (true, Change::Set(probe)) = (form.probe_origin.is_catalogue(), &form.startup_probe) {
        changes.push(set("startupProbe", container.startup_probe().map(|own| own.handler), probe));
    }
    changes.extend(hook("postStart", &form.post_start, container.post_start()));
    if form.pre_stop_is_vendors {
        changes.extend(hook("preStop", &form.pre_stop, container.pre_stop()));
    }
    changes.extend(added(form));
    changes
}

/// What becomes of a hook, where it does not stay.
fn hook(name: &str, change: &Change, own: Option<&Handler<'_>>) -> Option<String> {
    match change {
        Change::Set(hook) => Some(set(name, own, hook)),
        Change::Remove => own.map(|own| format!("drops {name} {}", in_words(own))),
        Change::Keep => None,
    }
}

fn set(name: &str, own: Option<&Handler<'_>>, new: &serde_json::Value) -> String {
    let new = value_in_words(new);
    match own {
        Some(own) => format!("{name} {new} instead of {}", in_words(own)),
        None => format!("adds {name} {new}"),
    }
}

/// Variables and words.
fn added(form: &NativeForm) -> impl Iterator<Item = String> {
    let env = form.env.iter().map(|(name, value)| format!("adds {name}={value}"));
    let words =
        |field: &str, words: &[String]| (!words.is_empty()).then(|| format!("adds {} to {field}", words.join(" ")));
    env.chain(words("command", &form.command)).chain(words("args", &form.args))
}

fn in_annotations(entry: &Entry, the_move: &Move<'_>, pod: &Pod<'_>) -> Vec<String> {
    let is_new = |(key, value): &(&String, &String)| pod.annotation(key) != Some(value.as_str());
    let set = entry.set_annotations.iter().filter(is_new).map(|(key, value)| format!("sets {key}: {value:?}"));
    let follows = entry.annotations.iter().filter(|(key, rewrite)| {
        pod.annotation(key).is_some_and(|value| follow(value, the_move.name(), rewrite).is_some())
    });
    set.chain(follows.map(|(key, _)| format!("rewrites {key}"))).collect()
}

/// What is known against the vendor's hook, and how to do without what can be declined.
fn way_out(entry: &Entry, the_move: &Move<'_>) -> String {
    let (form, name) = (&the_move.form, the_move.name());
    let hook_is_new = form.pre_stop_is_vendors && matches!(form.pre_stop, Change::Set(_));
    let hook_goes = form.pre_stop_is_vendors && form.pre_stop == Change::Remove;
    match () {
        () if hook_is_new => {
            let caution = &entry.pre_stop.caution;
            let caution = if caution.is_empty() { String::new() } else { format!(" ({caution})") };
            format!("{caution}; pre-stop.native-sidecar.io/{name}: keep declines its hook")
        }
        () if hook_goes => format!("; pre-stop.native-sidecar.io/{name}: keep keeps the hook"),
        () if form.probe_origin == ProbeOrigin::Catalogue => {
            format!("; startup-probe.native-sidecar.io/{name}: none declines the probe")
        }
        () => String::new(),
    }
}
