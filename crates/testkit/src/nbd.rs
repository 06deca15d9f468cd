//! A disk by NBD, as the kernel's client uses one.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One connection to one export.
#[derive(Debug)]
pub struct Disk(TcpStream);

impl Disk {
    /// Connects and asks for an export by its name.
    ///
    /// # Errors
    /// When nobody listens, or the server has no such export and hangs up.
    pub fn connect(server: SocketAddr, export: &str) -> io::Result<Disk> {
        let mut stream = TcpStream::connect(server)?;
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting)?;
        let mut asked = vec![0, 0, 0, 3];
        asked.extend(b"IHAVEOPT\0\0\0\x01");
        asked.extend(u32::try_from(export.len()).unwrap_or(0).to_be_bytes());
        asked.extend(export.as_bytes());
        stream.write_all(&asked)?;
        stream.read_exact(&mut [0; 10])?;
        Ok(Disk(stream))
    }

    /// Its first sector.
    ///
    /// # Errors
    /// When the server is gone, or says that it cannot.
    pub fn read(&mut self) -> io::Result<[u8; 512]> {
        self.ask(0, &[])?;
        let mut sector = [0; 512];
        self.0.read_exact(&mut sector)?;
        Ok(sector)
    }

    /// Writes its first sector.
    ///
    /// # Errors
    /// When the server is gone, or says that it cannot.
    pub fn write(&mut self, sector: &[u8; 512]) -> io::Result<()> {
        self.ask(1, sector)
    }

    fn ask(&mut self, command: u8, data: &[u8]) -> io::Result<()> {
        let mut asked = [0; 28];
        asked[..4].copy_from_slice(&[0x25, 0x60, 0x95, 0x13]);
        asked[7] = command;
        // 512 bytes from the beginning.
        asked[26] = 2;
        self.0.write_all(&[&asked, data].concat())?;
        let mut answer = [0; 16];
        self.0.read_exact(&mut answer)?;
        match answer[..8] == [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0] {
            true => Ok(()),
            false => Err(io::Error::other(format!("refused: {answer:?}"))),
        }
    }
}
