//! Directories of certificates as OpenSSL reads them: each file is named by the hash of its certificate's subject.
//!
//! KPL's `CaCertPath` is such a directory. OpenSSL's `X509_NAME_hash` is the beginning of the SHA-1 of the subject's
//! canonical form: each attribute as UTF-8, in lower case, without space at its ends and with single spaces inside.

use std::io;
use std::path::{Path, PathBuf};

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Name};

/// Certificates whose subjects have the same hash, in one directory.
const SAME_HASH_MAX: usize = 16;

const TAG_UTF8: u8 = 12;
const TAG_OBJECT_IDENTIFIER: u8 = 6;
const TAG_SEQUENCE: u8 = 0x30;
const TAG_SET: u8 = 0x31;

/// Why a certificate is not in a directory.
#[derive(Debug, thiserror::Error)]
pub enum HashedError {
    /// The text is no certificate.
    #[error("the CA's file is no certificate")]
    NoCertificate,
    /// The subject has an attribute that is no text.
    #[error("the subject of the CA's certificate is no text")]
    NoText,
    /// The directory has certificates of other CAs under all names of this one.
    #[error("the directory {} has {SAME_HASH_MAX} other certificates with the hash {hash:08x}", directory.display())]
    Full {
        /// The directory.
        directory: PathBuf,
        /// The hash of the subject.
        hash: u32,
    },
    /// The file or the directory.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// Puts a certificate, as PEM text, into a directory that is made where it is not there; the file. A file that has the
/// certificate already stays.
///
/// # Errors
/// When the text is no certificate, and when the file cannot be written.
pub fn write(pem: &str, directory: &Path) -> Result<PathBuf, HashedError> {
    let hash = subject_hash(pem)?;
    std::fs::create_dir_all(directory)
        .map_err(|source| HashedError::File { path: directory.to_owned(), source })?;
    for number in 0..SAME_HASH_MAX {
        let path = directory.join(format!("{hash:08x}.{number}"));
        match std::fs::read(&path) {
            Ok(other) if other != pem.as_bytes() => {}
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match std::fs::write(&path, pem) {
                    Ok(()) => Ok(path),
                    Err(source) => Err(HashedError::File { path, source }),
                };
            }
            Err(source) => return Err(HashedError::File { path, source }),
        }
    }
    Err(HashedError::Full { directory: directory.to_owned(), hash })
}

/// The hash of the subject of a certificate in PEM form, as `openssl x509 -hash` prints it.
fn subject_hash(pem: &str) -> Result<u32, HashedError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| HashedError::NoCertificate)?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| HashedError::NoCertificate)?;
    let canonical = canonical(certificate.subject()).ok_or(HashedError::NoText)?;
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &canonical);
    let beginning = digest.as_ref().first_chunk().expect("SHA-1 has 20 bytes");
    Ok(u32::from_le_bytes(*beginning))
}

/// The canonical form of a name: its sets, without the sequence around them.
fn canonical(name: &X509Name<'_>) -> Option<Vec<u8>> {
    let mut canonical = Vec::new();
    for attributes in name.iter_rdn() {
        let mut encoded = attributes.iter().map(attribute).collect::<Option<Vec<_>>>()?;
        // The order of a set in DER.
        encoded.sort_unstable();
        canonical.extend(element(TAG_SET, &encoded.concat()));
    }
    Some(canonical)
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Option<Vec<u8>> {
    let text = attribute.as_str().ok()?.to_ascii_lowercase();
    let text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let kind = element(TAG_OBJECT_IDENTIFIER, attribute.attr_type().as_bytes());
    Some(element(TAG_SEQUENCE, &[kind, element(TAG_UTF8, text.as_bytes())].concat()))
}

/// An element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut encoded = vec![tag];
    if length < 0x80 {
        encoded.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        encoded.push(0x80 | significant.len() as u8);
        encoded.extend(significant);
    }
    encoded.extend(content);
    encoded
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    type Subject<'a> = &'a [(DnType, &'a str)];

    /// The PEM text of a certificate for that subject.
    fn certificate(subject: Subject<'_>) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn names_have_the_hash_of_openssl() {
        let long = "A long name ".repeat(20);
        // The hashes were printed by `openssl x509 -hash` of OpenSSL 3.
        let cases: [(Subject<'_>, Option<u32>); 3] = [
            (&[(DnType::CommonName, "Tidelog CA 0a1b2c3d")], Some(KNOWN_HASH)),
            (
                &[
                    (DnType::CountryName, "DE"),
                    (DnType::OrganizationName, "  An  ORG \u{e9}"),
                    (DnType::CommonName, "x"),
                ],
                None,
            ),
            (&[(DnType::CommonName, &long)], None),
        ];
        let directory = tempfile::tempdir().unwrap();
        for (subject, known) in cases {
            let pem = certificate(subject);
            let hash = subject_hash(&pem).unwrap();
            assert_eq!(hash, known.unwrap_or(hash), "{hash:08x}");
            let path = directory.path().join("certificate.pem");
            std::fs::write(&path, &pem).unwrap();
            let openssl =
                Command::new("openssl").args(["x509", "-noout", "-hash", "-in"]).arg(&path).output();
            // A machine without the program has the known hash.
            if let Ok(printed) = openssl {
                assert_eq!(String::from_utf8_lossy(&printed.stdout).trim(), format!("{hash:08x}"));
            }
        }
        assert!(matches!(subject_hash("nothing"), Err(HashedError::NoCertificate)));
    }

    /// The hash of `CN = Tidelog CA 0a1b2c3d`.
    const KNOWN_HASH: u32 = 0x9f22_66ee;

    #[test]
    fn a_certificate_is_written_once_and_beside_others_of_its_hash() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("new");
        let [first, second] = [(); 2].map(|()| certificate(&[(DnType::CommonName, "Tidelog CA 0a1b2c3d")]));
        let path = write(&first, &directory).unwrap();
        assert_eq!(path.extension().unwrap(), "0");
        assert_eq!(write(&first, &directory).unwrap(), path);
        assert_eq!(write(&second, &directory).unwrap().extension().unwrap(), "1");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        for number in 2..SAME_HASH_MAX {
            std::fs::write(path.with_extension(number.to_string()), "").unwrap();
        }
        let third = certificate(&[(DnType::CommonName, "Tidelog CA 0a1b2c3d")]);
        assert!(matches!(write(&third, &directory), Err(HashedError::Full { .. })));
    }
}
