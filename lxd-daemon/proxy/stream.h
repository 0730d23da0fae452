#pragma once
#include "lxd-daemon/proxy/loop.h"

namespace lxmgr::proxy {

void on_stream_listener(Listener& listener);
void on_stream_event(Source* source, std::uint32_t events);
/// Goes on with connections that had more to move than their turn allowed. @return true while some have
bool continue_streams();
/// Frees what was closed: no event of the last batch may refer to it any more.
void free_closed_streams();

}  // namespace lxmgr::proxy
