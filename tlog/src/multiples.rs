//! Strict Ed25519 under a key whose multiples are at hand: [`crate::VerifierKey::prepared`].
//!
//! The equation is that of strict verification (RFC 8032 section 5.1.7 without the cofactor, canonical encodings only, no points of
//! small order): R and [S]B - [k]A have the same bytes. With tables of the multiples of A, as there is one of B, no doublings are
//! left, which are most of the work.

use curve25519_dalek::edwards::{EdwardsBasepointTable, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::BasepointTable as _;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha512};

/// The multiples of one key: 30 KB.
pub(crate) struct Multiples {
    public: [u8; 32],
    table: EdwardsBasepointTable,
}

impl Multiples {
    /// Of a key that is not of small order. Takes about a millisecond.
    pub(crate) fn new(key: &VerifyingKey) -> Self {
        Self { public: key.to_bytes(), table: EdwardsBasepointTable::create(&key.to_edwards()) }
    }

    /// What strict verification says of this signature.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some((r, s)) = signature.split_first_chunk::<32>() else { return false };
        let Some(s) = s.try_into().ok().and_then(|s| Option::<Scalar>::from(Scalar::from_canonical_bytes(s))) else { return false };
        let hash = Sha512::new().chain_update(r).chain_update(self.public).chain_update(message).finalize();
        let k = Scalar::from_bytes_mod_order_wide(&hash.into());
        let expected = EdwardsPoint::mul_base(&s) - &self.table * &k;
        !expected.is_small_order() && expected.compress().as_bytes() == r
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use curve25519_dalek::constants::EIGHT_TORSION;
    use ed25519_dalek::{Signature, Signer as _, SigningKey};

    use super::*;

    fn both(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
        let strict = key.verify_strict(message, &Signature::from_bytes(signature)).is_ok();
        assert_eq!(Multiples::new(key).verify(message, signature), strict, "{signature:02x?}");
        strict
    }

    #[test]
    fn good_and_changed_signatures_are_judged_as_without_the_multiples() {
        for seed in 0..8_u8 {
            let key = SigningKey::from_bytes(&[seed; 32]);
            let message: Vec<u8> = core::iter::repeat_n(seed, usize::from(seed) * 37).collect();
            let good = key.sign(&message).to_bytes();
            assert!(both(&key.verifying_key(), &message, &good));
            assert!(!both(&key.verifying_key(), b"another", &good));
            for bit in (0..512).step_by(7) {
                let mut changed = good;
                changed.iter_mut().skip(bit / 8).take(1).for_each(|byte| *byte ^= 1 << (bit % 8));
                assert!(!both(&key.verifying_key(), &message, &changed));
            }
        }
        let multiples = Multiples::new(&SigningKey::from_bytes(&[1; 32]).verifying_key());
        assert!(!multiples.verify(b"", &[]) && !multiples.verify(b"", &[0; 63]) && !multiples.verify(b"", &[0; 65]));
    }

    #[test]
    fn an_s_beyond_the_order_is_refused() {
        let key = SigningKey::from_bytes(&[9; 32]);
        let mut signature = key.sign(b"m").to_bytes();
        // The order of the base point, added to S: the same number, spelt another way.
        let order = (-Scalar::ONE).to_bytes();
        let mut carry = 1_u16;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        assert!(!both(&key.verifying_key(), b"m", &signature));
    }

    #[test]
    fn an_r_with_a_part_of_small_order_is_refused() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let (public, secret, nonce) = (key.verifying_key(), key.to_scalar(), Scalar::from(77_u8));
        for torsion in EIGHT_TORSION {
            for (r, part) in [(torsion, Scalar::ZERO), (torsion + EdwardsPoint::mul_base(&nonce), nonce)] {
                let r = r.compress().to_bytes();
                let hash = Sha512::new().chain_update(r).chain_update(public.to_bytes()).chain_update(b"m").finalize();
                let s = part + Scalar::from_bytes_mod_order_wide(&hash.into()) * secret;
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&r);
                signature[32..].copy_from_slice(s.as_bytes());
                // Only the sum with the neutral element is a signature, and only if R is not that alone.
                assert_eq!(both(&public, b"m", &signature), torsion == EIGHT_TORSION[0] && part == nonce);
            }
        }
    }
}
