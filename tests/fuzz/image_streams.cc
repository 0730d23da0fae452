#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "images/sha256.h"
#include "images/streams/catalog.h"

/// simplestreams JSON, an index or products: every image that comes of it is usable and found under its
/// names.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lxmgr::images;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    (void)parse_stream_index(text);
    const auto products = parse_stream_products(text);
    if (!products) return 0;
    const auto images = images_of(*products);
    for (const auto& image : images) {
        if (!is_sha256(image.fingerprint) || !is_usable_path(image.metadata.path)) std::abort();
        if (image.rootfs && !is_usable_path(image.rootfs->path)) std::abort();
        for (const auto& name : names_of(image, "x86_64")) {
            if (find_stream_image(images, name, "x86_64") == nullptr) std::abort();
        }
    }
    return 0;
}
