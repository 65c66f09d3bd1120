//! Images: imported from a root's archive or pulled, and found again by their ID.

use std::collections::HashMap;
use std::path::Path;
use std::pin::pin;

use bollard::errors::Error;
use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tlog::Hash;
use tokio::io::AsyncReadExt as _;

use super::{LABEL, Podman, PodmanError, api, soon};

impl Podman {
    /// Imports the tar archive of a root as an image of this builder's label and returns the image's ID.
    ///
    /// # Errors
    /// If the archive cannot be read or Podman refuses it.
    pub async fn import(&self, archive: &Path, name: &str) -> Result<String, PodmanError> {
        let context = || format!("reading {}", archive.display());
        let file = tokio::fs::File::open(archive).await.map_err(PodmanError::io(context()))?;
        let chunks = stream::try_unfold(file, |mut file| async move {
            let mut chunk = vec![0; CHUNK];
            let count = file.read(&mut chunk).await?;
            chunk.truncate(count);
            Ok((count > 0).then(|| (Bytes::from(chunk), file)))
        });
        let options = CreateImageOptionsBuilder::default().from_src("-").repo(name).changes(vec![self.image_label()]).build();
        created(self.docker.create_image(Some(options), Some(bollard::body_try_stream(chunks)), None), "import an image").await
    }

    /// Pulls an image reference and returns the image's ID.
    ///
    /// # Errors
    /// If it cannot be pulled.
    pub async fn pull(&self, reference: &str) -> Result<String, PodmanError> {
        let options = CreateImageOptionsBuilder::default().from_image(reference).build();
        created(self.docker.create_image(Some(options), None, None), "pull the image").await?;
        self.image_id(reference).await?.ok_or(PodmanError::Answer("the pulled image is not there"))
    }

    /// The ID (`sha256:` and 64 digits) of an image by name or ID, if it is here.
    ///
    /// # Errors
    /// If Podman cannot say.
    pub async fn image_id(&self, name: &str) -> Result<Option<String>, PodmanError> {
        match soon("look at an image", self.docker.inspect_image(name)).await {
            Ok(ImageInspect { id: Some(id), .. }) => Ok(Some(with_prefix(&id))),
            Ok(_) => Err(PodmanError::Answer("an image without an ID")),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes all images that this builder imported but one.
    ///
    /// # Errors
    /// If Podman cannot list or remove them.
    pub async fn sweep_images(&self, keep: Option<&str>) -> Result<(), PodmanError> {
        let filters = HashMap::from([("label", vec![format!("{LABEL}={}", self.image_mark())])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = soon("list images", self.docker.list_images(Some(options))).await?;
        for id in images.iter().map(|image| with_prefix(&image.id)).filter(|id| keep != Some(id)) {
            self.remove_image(&id).await?;
        }
        Ok(())
    }

    /// Labels of images pass through a parser of its own, which a path might confuse: its digest cannot.
    fn image_mark(&self) -> String {
        Hash::digest(self.settings.label.as_bytes()).to_hex()
    }

    fn image_label(&self) -> String {
        format!("LABEL {LABEL}={}", self.image_mark())
    }

    async fn remove_image(&self, id: &str) -> Result<(), PodmanError> {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        match soon("remove an image", self.docker.remove_image(id, Some(options), None)).await {
            Err(error) if error.status() == Some(404) => Ok(()),
            result => result.map(drop),
        }
    }
}

/// Podman names the image in either member, with or without its prefix, and ignores the tag that was asked for.
async fn created(answers: impl Stream<Item = Result<CreateImageInfo, Error>>, what: &'static str) -> Result<String, PodmanError> {
    let mut answers = pin!(answers);
    let mut id = None;
    while let Some(answer) = answers.next().await {
        let answer = answer.map_err(api(what))?;
        id = [answer.id, answer.status].into_iter().flatten().find(|text| is_id(text)).or(id);
    }
    id.map(|id| with_prefix(&id)).ok_or(PodmanError::Answer("no image ID"))
}

fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn with_prefix(id: &str) -> String {
    if id.starts_with("sha256:") { id.to_owned() } else { format!("sha256:{id}") }
}

const CHUNK: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_digests_are_ids() {
        let digits = "968b44613b440af9a2bc5accdf015b0bc93f7c8c1c9ead904f09c6ef146e02fd";
        assert!(is_id(digits) && is_id(&format!("sha256:{digits}")));
        assert!(!is_id("latest") && !is_id(&digits[1..]) && !is_id("sha256:"));
        assert_eq!(with_prefix(digits), with_prefix(&with_prefix(digits)));
    }
}
