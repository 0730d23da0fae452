#pragma once
#include <vector>

#include "images/image.h"
#include "images/image_pack.h"

namespace lxmgr::images {

/// Makes the image hand an instance's cloud-init.* and user.* keys to cloud-init in it, as a NoCloud seed
/// that is written at each start. /dev/lxd serves them too; the seed is there where that is switched off.
void add_cloud_seed(Metadata& metadata, std::vector<TextFile>& templates);

}  // namespace lxmgr::images
