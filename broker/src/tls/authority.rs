//! The certificate authority of a data directory: `tls/ca.pem` and `tls/ca.key`, made once and kept.
//!
//! Invariants: both files come into being together, by one rename of their directory; a directory that has only one
//! of them, or one that is damaged, is refused by name and never repaired, because clients trust the old
//! certificate. The issuer's name follows from its key, so the certificate's own bytes are not needed to issue
//! under it. A process that creates an authority has the data directory's lock; reading needs none.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tidelog_storage::Disk;
use tidelog_storage::disk::{Open, RealDisk};

use super::TlsError;
use super::names::Names;
use crate::clock::{BUILT_MS, machine_time};
use crate::data_directory::{DataDirectory, DataDirectoryError, DataLocation};

/// Where both files are, inside the data directory.
const DIRECTORY: &str = "tls";
/// The directory while it is being written; one that a crash left behind is replaced.
const UNFINISHED: &str = "tls.tmp";
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";

/// How long a broker that holds the directory is given to make its authority, and how often that is looked for.
const START_WAIT: Duration = Duration::from_secs(2);
const START_LOOK: Duration = Duration::from_millis(50);

const DAY: Duration = Duration::from_secs(86_400);
/// Certificates are good from this long before they are made: clients' clocks may lag.
const CLOCK_SKEW: Duration = DAY;
/// How long an authority is good for: installing it anew on every client is no yearly task.
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(20 * 365);
/// How long a server's certificate is good for; some clients refuse any of more than 825 days.
const SERVER_LIFE: Duration = DAY.saturating_mul(730);

/// A loaded authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The certificate that clients trust.
    pub certificate: CertificateDer<'static>,
    /// The file it is in.
    pub path: PathBuf,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The private key of the certificate.
    pub key: PrivateKeyDer<'static>,
}

/// The PEM text of the data directory's authority; `None` when it has none yet.
///
/// # Errors
/// When the file cannot be read, or is no certificate.
pub fn certificate_pem(data: &Path) -> Result<Option<String>, TlsError> {
    let directory = data.join(DIRECTORY);
    if !directory.exists() {
        return Ok(None);
    }
    let path = directory.join(CERTIFICATE);
    let text = read(&path)?;
    certificate(&path, &text)?;
    Ok(Some(text))
}

/// Why the authority's certificate cannot be handed out.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The data directory is none, or not this process's to write to.
    #[error(transparent)]
    Directory(#[from] DataDirectoryError),
    /// A broker holds the directory and has made no authority.
    #[error(
        "the data directory {} has no CA, and the broker that uses it makes none: it presents the certificate of its \
         --tls-certificate",
        path.display()
    )]
    NoneMade {
        /// The directory.
        path: PathBuf,
    },
    /// The authority's files.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data goes with its broker, and the authority with it.
    #[error("with --ephemeral there is no CA before the broker runs; its path is printed at the start")]
    Ephemeral,
}

/// The PEM text of the authority's certificate in that place, made when nobody has made it yet.
///
/// # Errors
/// When there is none and none can be made.
#[expect(clippy::disallowed_methods, reason = "a command that has no runtime waits for a broker that begins")]
pub fn exported(location: &DataLocation) -> Result<String, ExportError> {
    let DataLocation::Directory(path) = location else { return Err(ExportError::Ephemeral) };
    if let Some(text) = certificate_pem(path)? {
        return Ok(text);
    }
    let began = Instant::now();
    loop {
        match DataDirectory::open(location) {
            Ok(directory) => {
                Authority::open(&RealDisk, directory.path(), machine_time())?;
                return certificate_pem(path)?.ok_or_else(|| ExportError::NoneMade { path: path.clone() });
            }
            // A broker that has just begun makes it in a moment.
            Err(DataDirectoryError::InUse { .. }) if began.elapsed() < START_WAIT => sleep(START_LOOK),
            Err(DataDirectoryError::InUse { .. }) => {
                return Err(ExportError::NoneMade { path: path.clone() });
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(text) = certificate_pem(path)? {
            return Ok(text);
        }
    }
}

impl Authority {
    /// The authority of a data directory that this process has locked; made when there is none.
    ///
    /// # Errors
    /// When a file is missing, damaged, or cannot be read or written.
    pub fn open(disk: &dyn Disk, data: &Path, now: SystemTime) -> Result<Self, TlsError> {
        match certificate_pem(data)? {
            Some(text) => Self::load(data, &text),
            None => {
                create(disk, data, now)
                    .map_err(|source| TlsError::File { path: data.join(DIRECTORY), source })?;
                let path = data.join(DIRECTORY).join(CERTIFICATE);
                Self::load(data, &read(&path)?)
            }
        }
    }

    fn load(data: &Path, text: &str) -> Result<Self, TlsError> {
        let directory = data.join(DIRECTORY);
        let (path, key_path) = (directory.join(CERTIFICATE), directory.join(KEY));
        let key = KeyPair::from_pem(&read(&key_path)?)
            .map_err(|_| TlsError::damaged(&key_path, "no private key"))?;
        let certificate = certificate(&path, text)?;
        Ok(Self { issuer: Issuer::new(authority_params(&key), key), certificate, path })
    }

    /// A server's certificate for these names, with a key of its own.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn issue(&self, names: &Names, now: SystemTime) -> Result<Issued, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named("Tidelog");
        for host in &names.hosts {
            params.subject_alt_names.push(SanType::DnsName(host.as_str().try_into()?));
        }
        params.subject_alt_names.extend(names.addresses.iter().copied().map(SanType::IpAddress));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        live(&mut params, now, SERVER_LIFE);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        Ok(Issued { certificate, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() })
    }
}

/// Writes a new authority: both files, synced, then the rename that makes them count.
fn create(disk: &dyn Disk, data: &Path, now: SystemTime) -> io::Result<()> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = self_signed(&key, now).map_err(io::Error::other)?;
    let unfinished = data.join(UNFINISHED);
    disk.remove_dir_all(&unfinished)?;
    disk.create_dir_all(&unfinished)?;
    for (name, text) in [(KEY, key.serialize_pem()), (CERTIFICATE, certificate.pem())] {
        let file = disk.open(&unfinished.join(name), Open::Create)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_data()?;
    }
    disk.sync_dir(&unfinished)?;
    disk.rename(&unfinished, &data.join(DIRECTORY))?;
    disk.sync_dir(data)
}

fn self_signed(key: &KeyPair, now: SystemTime) -> Result<Certificate, rcgen::Error> {
    let mut params = authority_params(key);
    live(&mut params, now, AUTHORITY_LIFE);
    params.self_signed(key)
}

/// The parameters of an authority's certificate, as far as they follow from its key.
fn authority_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let id: String = params.key_identifier(key).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    // The name tells the authorities of several brokers in one trust store apart.
    params.distinguished_name = named(&format!("Tidelog CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Dates a certificate for a life from now on. A clock that is behind the build of this program counts as that, and
/// an authority, which is kept, is good from the build on, so that it is valid today even if the clock was wrong
/// when it was made.
fn live(params: &mut CertificateParams, now: SystemTime, life: Duration) {
    let epoch = date_time_ymd(1970, 1, 1);
    let built = Duration::from_millis(BUILT_MS);
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().max(built);
    let from = if matches!(params.is_ca, IsCa::Ca(_)) { built } else { now };
    params.not_before = epoch + from.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + now + life;
}

fn read(path: &Path) -> Result<String, TlsError> {
    std::fs::read_to_string(path).map_err(|source| TlsError::File { path: path.into(), source })
}

fn certificate(path: &Path, text: &str) -> Result<CertificateDer<'static>, TlsError> {
    CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| TlsError::damaged(path, "no certificate"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn certificates_made_under_a_wrong_clock_are_valid_today() {
        let today = UNIX_EPOCH + Duration::from_millis(BUILT_MS) + DAY * 100;
        for made in [UNIX_EPOCH, today, today + DAY * 365 * 100] {
            let key = KeyPair::generate().unwrap();
            let mut authority = authority_params(&key);
            live(&mut authority, made, AUTHORITY_LIFE);
            let mut server = CertificateParams::default();
            live(&mut server, made.min(today), SERVER_LIFE);
            let today_at = date_time_ymd(1970, 1, 1) + today.duration_since(UNIX_EPOCH).unwrap();
            for params in [authority, server] {
                assert!(params.not_before < today_at && today_at < params.not_after, "{made:?}");
            }
        }
    }

    #[test]
    fn an_authority_is_made_once_and_its_key_is_for_its_owner_only() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(certificate_pem(data.path()).unwrap(), None);
        // A directory that a crash left unfinished does not count.
        std::fs::create_dir(data.path().join(UNFINISHED)).unwrap();
        let first = Authority::open(&RealDisk, data.path(), machine_time()).unwrap();
        let again = Authority::open(&RealDisk, data.path(), machine_time()).unwrap();
        assert_eq!(first.certificate, again.certificate);
        assert!(certificate_pem(data.path()).unwrap().unwrap().contains("BEGIN CERTIFICATE"));
        let mode = |name: &str| {
            let path = data.path().join(DIRECTORY).join(name);
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode(KEY), 0o600);
        assert!(!data.path().join(UNFINISHED).exists());
    }

    #[test]
    fn incomplete_or_damaged_files_are_named() {
        let spoilt = [
            (KEY, None),
            (CERTIFICATE, None),
            (KEY, Some("-----BEGIN PRIVATE KEY-----\n")),
            (CERTIFICATE, Some("")),
        ];
        for (name, text) in spoilt {
            let data = tempfile::tempdir().unwrap();
            Authority::open(&RealDisk, data.path(), machine_time()).unwrap();
            let path = data.path().join(DIRECTORY).join(name);
            match text {
                None => std::fs::remove_file(&path).unwrap(),
                Some(text) => std::fs::write(&path, text).unwrap(),
            }
            let error = Authority::open(&RealDisk, data.path(), machine_time()).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }
}
