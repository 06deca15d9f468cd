//! Serves the directory of the first argument on port 69 of every address.

use async_tftp::server::TftpServerBuilder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("which directory?")?;
    let executor = async_executor::Executor::new();
    async_io::block_on(executor.run(async {
        let server = TftpServerBuilder::with_dir_ro(directory)?
            .bind("0.0.0.0:69".parse()?)
            .build()
            .await?;
        server.serve().await?;
        Ok(())
    }))
}
