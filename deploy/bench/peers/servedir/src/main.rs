//! Serves the directory of the first argument on port 80 of every address.

use axum::Router;
use tower_http::services::ServeDir;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("which directory?")?;
    let router = Router::new().fallback_service(ServeDir::new(directory));
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await?;
            axum::serve(listener, router).await?;
            Ok(())
        })
}
