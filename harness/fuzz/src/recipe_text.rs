//! An image's recipe: read or refused.

use virt_aa_engine::image::Recipe;

/// Reads a recipe. Panics where that does not end as it should.
pub fn recipe_text(text: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder for temporary files is there");
    std::fs::write(dir.path().join("fuzzed.yaml"), text).expect("the folder was made");
    match Recipe::load(dir.path(), "fuzzed") {
        Ok(recipe) => assert!(!recipe.key(None).is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
