//! The host's side of the WIT packages.
#![expect(unreachable_pub, reason = "generated code")]

pub mod projection_plugin {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1.0",
        world: "projection-plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

pub mod upcaster_plugin {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1.0",
        world: "upcaster-plugin",
        with: {
            "fantascope:plugin/log@0.1.0": super::projection_plugin::fantascope::plugin::log,
        },
    });
}

pub mod wasi {
    wasmtime::component::bindgen!({
        path: "src/wasi.wit",
        world: "fantascope:wasi-subset/start",
        imports: { default: trappable },
    });
}
