//! Templates, snippets and groups: what answers are made of.

use super::problem::{Answer, Json, Path, Problem};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use bootplan::{Object, ObjectKind, ObjectName};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// All of them.
#[derive(Serialize, ToSchema)]
pub(super) struct ObjectList {
    /// By kind and name: `{kind: template|snippet, name, text}`, or
    /// `{kind: group, name, selector, variables}`.
    #[schema(value_type = Vec<Object>)]
    objects: Vec<Object>,
}

/// Lists templates, snippets and groups.
#[utoipa::path(get, path = "/objects", tag = "answers",
    responses((status = OK, body = ObjectList), (status = "4XX", body = Problem)))]
pub(super) async fn list_objects(_: Actor, State(state): State<PeopleState>) -> Json<ObjectList> {
    let catalog = state.store.catalog();
    let all = ObjectKind::ALL.into_iter();
    let objects = all.flat_map(|kind| catalog.objects().of(kind)).collect();
    Json(ObjectList { objects })
}

/// Creates a template, snippet or group, or replaces it. The body is as in the list; kind and name
/// may be left out of it.
#[utoipa::path(put, path = "/objects/{kind}/{name}", tag = "answers", request_body = Object,
    params(("kind" = String, Path, description = "template, snippet or group"),
        ("name" = String, Path, description = "its name")),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn put_object(
    actor: Actor,
    State(state): State<PeopleState>,
    Path((kind, name)): Path<(String, ObjectName)>,
    Json(mut body): Json<Value>,
) -> Answer<StatusCode> {
    let kind = kind_of(&kind)?;
    if let Some(fields) = body.as_object_mut() {
        for (field, said) in [("kind", kind.slug()), ("name", name.as_str())] {
            let was = fields.insert(field.to_owned(), said.into());
            if was.is_some_and(|was| was != said) {
                return Err(Problem::refused(format!(
                    "the path says {field} '{said}', the body another one"
                )));
            }
        }
        let objects = state.store.catalog().objects().of(kind);
        let old = objects.iter().find(|old| *old.name() == name);
        // Whoever says nothing of labels leaves them.
        if let (Some(old), false) = (old, fields.contains_key("labels")) {
            fields.insert("labels".to_owned(), json!(old.labels()));
        }
    }
    let object: Object = serde_json::from_value(body).map_err(Problem::refused)?;
    if let Err(fault) = crate::documents::readable(&object) {
        return Err(Problem::refused(fault));
    }
    state.store.put_object(object, &actor.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a template, snippet or group. The review of what wants it says that it is gone.
#[utoipa::path(delete, path = "/objects/{kind}/{name}", tag = "answers",
    params(("kind" = String, Path, description = "template, snippet or group"),
        ("name" = String, Path, description = "its name")),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn delete_object(
    actor: Actor,
    State(state): State<PeopleState>,
    Path((kind, name)): Path<(String, ObjectName)>,
) -> Answer<StatusCode> {
    let kind = kind_of(&kind)?;
    let deleted = state.store.delete_object(kind, &name, &actor.name).await;
    deleted.map(|()| StatusCode::NO_CONTENT).map_err(Into::into)
}

fn kind_of(text: &str) -> Answer<ObjectKind> {
    let found = ObjectKind::ALL.into_iter().find(|kind| kind.slug() == text);
    found.ok_or_else(|| Problem::refused("the kind is template, snippet or group"))
}
