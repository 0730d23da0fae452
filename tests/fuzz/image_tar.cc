#include "image_box.h"
#include "images/scan.h"

/// A tarball as a unified image, as a split image's root file system, and as its metadata.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lxmgr::images;
    ImageBox& box = ImageBox::instance();
    const std::string image = box.write("image", data, size);
    (void)scan_metadata(image, true, {}).has_value();
    (void)scan_rootfs(image, {}).has_value();
    box.unpack(image, "");
    box.unpack("unused", image);
    (void)scan_metadata(image, false, {}).has_value();
    return 0;
}
