//! The verifier that PostgreSQL stores instead of a password. It is computed on our side, so that the password never
//! reaches the server.
//!
//! The algorithm is that of RFC 5802 and RFC 7677, and the text format is that of `pg_authid.rolpassword`
//! (`SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`). SASLprep is not needed, because generated
//! credentials are ASCII.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// PostgreSQL's own default of `scram_iterations`.
const ITERATIONS: u32 = 4096;

/// Makes the verifier for a password and a salt. PostgreSQL itself uses 16 random bytes as a salt.
pub(crate) fn verifier(password: &[u8], salt: &[u8]) -> String {
    let salted = salted_password(password, salt, ITERATIONS);
    let client_key = Zeroizing::new(hmac(&*salted, &[b"Client Key"]));
    let stored_key = Sha256::digest(*client_key);
    let server_key = Zeroizing::new(hmac(&*salted, &[b"Server Key"]));
    format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(*server_key)
    )
}

/// Computes PBKDF2 with HMAC-SHA-256 and one block, which RFC 5802 calls `Hi`.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<[u8; 32]> {
    let mut round = Zeroizing::new(hmac(password, &[salt, &1_u32.to_be_bytes()]));
    let mut result = Zeroizing::new(*round);
    for _ in 1..iterations {
        *round = hmac(password, &[&*round]);
        for (byte, other) in result.iter_mut().zip(round.iter()) {
            *byte ^= other;
        }
    }
    result
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of RFC 7677 section 3: user `user`, password `pencil`. Its client proof and server
    /// signature follow from the keys.
    #[test]
    fn keys_agree_with_the_exchange_of_rfc_7677() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted_password(b"pencil", &salt, 4096);
        let message = b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let client_key = hmac(&*salted, &[b"Client Key"]);
        let signature = hmac(&Sha256::digest(client_key), &[message]);
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, other)| key ^ other).collect();
        assert_eq!(STANDARD.encode(proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let server_signature = hmac(&hmac(&*salted, &[b"Server Key"]), &[message]);
        assert_eq!(STANDARD.encode(server_signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn the_verifier_has_the_servers_format_and_no_password() {
        let verifier = verifier(b"pencil", &[7; 16]);
        assert!(verifier.starts_with("SCRAM-SHA-256$4096:BwcHBwcHBwcHBwcHBwcHBw==$"), "{verifier}");
        assert_eq!(verifier.len(), "SCRAM-SHA-256$4096:".len() + 24 + 1 + 44 + 1 + 44);
        assert!(!verifier.contains("pencil"));
    }
}
