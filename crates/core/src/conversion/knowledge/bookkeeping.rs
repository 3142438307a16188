//! An injector's own record of what it wrote, in annotations.

use crate::{
    catalogue::{AnnotationRewrite, WhenEmpty},
    pod::{Entries, Text},
};
use indexmap::IndexMap;
use serde_json::value::{RawValue, to_raw_value};

/// Moves `name` from `containers` to `initContainers` in an injector's bookkeeping; `None` where it is not listed.
pub(in crate::conversion) fn follow(annotation: &str, name: &str, rewrite: &AnnotationRewrite) -> Option<String> {
    let mut status: IndexMap<Text<'_>, &RawValue> = serde_json::from_str(annotation).ok()?;
    let list = |field: &str| -> Option<Vec<&RawValue>> { serde_json::from_str(status.get(field)?.get()).ok() };
    let mut regular = list("containers")?;
    let at = regular.iter().position(|item| listed_name(item, rewrite).is_some_and(|listed| listed == name))?;
    let mut init = list("initContainers").unwrap_or_default();
    init.push(regular.remove(at));
    let [left, init] = [to_raw_value(&regular).ok()?, to_raw_value(&init).ok()?];
    match rewrite.when_empty {
        WhenEmpty::Absent if regular.is_empty() => status.shift_remove("containers"),
        WhenEmpty::Null if regular.is_empty() => status.insert("containers".into(), RawValue::NULL),
        _ => status.insert("containers".into(), &left),
    };
    status.insert("initContainers".into(), &init);
    serde_json::to_string(&status).ok()
}

/// The name of the container that `item` of an injector's list stands for.
fn listed_name<'i>(item: &'i RawValue, rewrite: &AnnotationRewrite) -> Option<Text<'i>> {
    let mut name = item;
    if rewrite.items_are_objects {
        let fields: Entries<'_, &RawValue> = serde_json::from_str(item.get()).ok()?;
        name = fields.get("name")?;
    }
    serde_json::from_str(name.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        false,
        r#"{"containers":["a","p"],"x":1.0}"#,
        Some(r#"{"containers":["a"],"x":1.0,"initContainers":["p"]}"#)
    )]
    #[case(
        false,
        r#"{"initContainers":["i"],"containers":["p"]}"#,
        Some(r#"{"initContainers":["i","p"],"containers":null}"#)
    )]
    #[case(
        false,
        r#"{"containers":["\u0070"],"initContainers":null}"#,
        Some(r#"{"containers":null,"initContainers":["\u0070"]}"#)
    )]
    #[case(false, r#"{"containers":["a"]}"#, None)]
    #[case(false, r#"{"containers":[{"name":"p"}]}"#, None)]
    #[case(false, r#"{"containers":"p"}"#, None)]
    #[case(false, r#"["p"]"#, None)]
    #[case(
        true,
        r#"{"containers":[{"image":"x","name":"p"}]}"#,
        Some(r#"{"containers":null,"initContainers":[{"image":"x","name":"p"}]}"#)
    )]
    #[case(true, r#"{"containers":["p",["p"],{"name":["p"]}]}"#, None)]
    fn an_injectors_record_follows_the_container(
        #[case] items_are_objects: bool,
        #[case] record: &str,
        #[case] followed: Option<&str>,
    ) {
        let rewrite = AnnotationRewrite { items_are_objects, when_empty: WhenEmpty::Null };
        assert_eq!(follow(record, "p", &rewrite).as_deref(), followed);
        let absent = AnnotationRewrite { when_empty: WhenEmpty::Absent, ..rewrite };
        let followed =
            followed.map(|record| record.replace(r#""containers":null,"#, "").replace(r#","containers":null"#, ""));
        assert_eq!(follow(record, "p", &absent), followed);
    }
}
