//! proxydhcp
