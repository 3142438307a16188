//! The textbook way: a typed pod in, a changed clone, the difference of the two.

use crate::{
    least::{self, Review},
    sizes::ANNOTATION,
};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde::Deserialize;

#[derive(Deserialize)]
struct Typed {
    uid: String,
    object: Pod,
}

pub(crate) fn answer(body: &[u8]) -> Vec<u8> {
    let review: Review<Typed> = serde_json::from_slice(body).unwrap();
    let Typed { uid, object: old } = review.request;
    let asked = old.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ANNOTATION));
    let Some(asked) = asked else { return least::answer(&uid, None).unwrap() };
    let mut new = old.clone();
    move_containers(new.spec.as_mut().unwrap(), &asked.split(',').collect::<Vec<_>>());
    let (old, new) = (serde_json::to_value(old).unwrap(), serde_json::to_value(new).unwrap());
    let patch = json_patch::diff(&old, &new);
    least::answer(&uid, Some(&serde_json::to_vec(&patch).unwrap())).unwrap()
}

fn move_containers(spec: &mut PodSpec, names: &[&str]) {
    let sidecars = spec.containers.extract_if(.., |container| names.contains(&container.name.as_str()));
    let sidecars = sidecars.map(|mut sidecar| {
        sidecar.restart_policy = Some("Always".to_owned());
        sidecar
    });
    spec.init_containers.get_or_insert_default().extend(sidecars);
}
