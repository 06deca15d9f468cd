//! All recipes. They are data, so that a new distribution needs no new program: the built-in ones
//! are `boot-assets/distributions/*.yaml`; files of the same format in the operator's
//! `distributions` directory are asked before them.

use crate::recipe::Recipe;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// All recipes, in the order in which they are asked.
#[derive(Clone, Debug, Default)]
pub struct Recipes {
    pub(crate) all: Vec<Recipe>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    distributions: Vec<Recipe>,
}

/// Why recipes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The directory or a file of it cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not YAML, or not of this shape; the source tells line and column.
    #[error("{path}: {error}")]
    Yaml {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        error: serde_yaml::Error,
    },
    /// Another format than 1.
    #[error("{path}: format {format} is not known to this version of Farrier (1 is)")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What it says.
        format: u32,
    },
    /// A recipe that matches everything, or whose name is no slug.
    #[error("{path}: distribution '{name}': {why}")]
    Recipe {
        /// Which file.
        path: PathBuf,
        /// Which recipe.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl Recipes {
    /// Those that this program was built with.
    pub fn builtin() -> Recipes {
        let mut recipes = Recipes::default();
        for (name, text) in BUILTIN {
            let read = recipes.read(Path::new(name), text);
            read.expect("the built-in recipes are read by a test");
        }
        recipes
    }

    /// Those of a directory (`*.yaml`, by name), and then the built-in ones. A directory that is
    /// not there has none.
    ///
    /// # Errors
    /// [`RecipeError`] names the file.
    pub fn load(directory: &Path) -> Result<Recipes, RecipeError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| RecipeError::Read { path, source }
        };
        let mut files = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::builtin()),
            entries => entries
                .and_then(|entries| {
                    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
                    paths.collect::<io::Result<Vec<PathBuf>>>()
                })
                .map_err(unreadable(directory))?,
        };
        files.retain(|path| path.extension().is_some_and(|ext| ext == "yaml"));
        files.sort();
        let mut recipes = Recipes::default();
        for path in files {
            let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
            recipes.read(&path, &text)?;
        }
        for recipe in Recipes::builtin().all {
            recipes.add(recipe);
        }
        Ok(recipes)
    }

    fn read(&mut self, path: &Path, text: &str) -> Result<(), RecipeError> {
        let document: Document = serde_yaml::from_str(text).map_err(|error| RecipeError::Yaml {
            path: path.to_owned(),
            error,
        })?;
        if document.format != 1 {
            return Err(RecipeError::Format {
                path: path.to_owned(),
                format: document.format,
            });
        }
        for recipe in document.distributions {
            if let Some(why) = recipe.fault() {
                return Err(RecipeError::Recipe {
                    path: path.to_owned(),
                    name: recipe.name,
                    why,
                });
            }
            self.add(recipe);
        }
        Ok(())
    }

    fn add(&mut self, recipe: Recipe) {
        if self.all.iter().all(|known| known.name != recipe.name) {
            self.all.push(recipe);
        }
    }
}

const BUILTIN: [(&str, &str); 4] = [
    (
        "debian.yaml",
        include_str!("../../../boot-assets/distributions/debian.yaml"),
    ),
    (
        "redhat.yaml",
        include_str!("../../../boot-assets/distributions/redhat.yaml"),
    ),
    (
        "others.yaml",
        include_str!("../../../boot-assets/distributions/others.yaml"),
    ),
    (
        "windows.yaml",
        include_str!("../../../boot-assets/distributions/windows.yaml"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Recipes, RecipeError> {
        let mut recipes = Recipes::default();
        recipes.read(Path::new("test.yaml"), text).map(|()| recipes)
    }

    #[test]
    fn the_built_in_recipes_are_read_and_have_names_of_their_own() {
        let recipes = Recipes::builtin();
        let texts = BUILTIN
            .iter()
            .map(|(_, text)| text.matches("\n  - name: ").count());
        assert_eq!(recipes.all.len(), texts.sum::<usize>());
    }

    #[test]
    fn faults_name_the_file_and_what_is_wrong() {
        let cases = [
            ("format: 2\ndistributions: []", "format 2 is not known"),
            (
                "format: 1\ndistributions: [{name: x, title: X, when: {hass: [a]}}]",
                "unknown field `hass`",
            ),
            (
                "format: 1\ndistributions: [{name: x, title: X, when: {lacks: [a]}}]",
                "it matches everything",
            ),
            (
                "format: 1\ndistributions: [{name: X y, title: X, when: {has: [a]}}]",
                "a name is of a-z",
            ),
        ];
        for (text, expected) in cases {
            let told = read(text).expect_err(text).to_string();
            assert!(
                told.starts_with("test.yaml: ") && told.contains(expected),
                "{told}"
            );
        }
    }

    #[test]
    fn an_operators_recipe_replaces_the_built_in_one() {
        let temp = tempfile::tempdir().expect("a directory");
        let text = "format: 1\ndistributions:\n  - {name: debian-installer, title: Ours, when: {has: [a]}}\n";
        fs::write(temp.path().join("ours.yaml"), text).expect("write");
        fs::write(temp.path().join("notes.txt"), "no recipe").expect("write");
        let recipes = Recipes::load(temp.path()).expect("fine");
        assert_eq!(recipes.all[0].title, "Ours");
        assert_eq!(recipes.all.len(), Recipes::builtin().all.len());
        let absent = Recipes::load(&temp.path().join("absent")).expect("none");
        assert_eq!(absent.all.len(), recipes.all.len());
    }
}
