//! What the reviews of the API server about bearer tokens have in common: the answers are kept for a limited time, and the tokens
//! themselves are not.

mod cache;

pub use self::cache::Cache;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// A hash of a bearer token. The token itself is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; SHA256_OUTPUT_LEN]);

// === impl TokenHash ===

impl TokenHash {
    /// The hash of this token.
    pub fn of(token: &str) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }
}
