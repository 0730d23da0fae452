#pragma once

namespace lxmgr::child {

/// Spares a systemd guest work at boot that is the host's: loading kernel modules, and announcing the host's
/// devices to its udev again (its own are network links). By units in /run/systemd/system, below what the
/// administrator of the guest sets in /etc and gone with the run; systemd.unit(5). Best effort. Nothing for
/// another init: the directory itself means systemd to programs (sd_booted(3)).
void ease_systemd(const char* init);

}  // namespace lxmgr::child
