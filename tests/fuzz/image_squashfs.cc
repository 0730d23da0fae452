#include "image_box.h"
#include "images/scan.h"

/// A squashfs image as a root file system.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lxmgr::images;
    ImageBox& box = ImageBox::instance();
    const std::string image = box.write("image", data, size);
    (void)scan_rootfs(image, {}).has_value();
    box.unpack("unused", image);
    return 0;
}
