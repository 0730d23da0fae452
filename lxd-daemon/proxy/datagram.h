#pragma once
#include "lxd-daemon/proxy/loop.h"

namespace lxmgr::proxy {

void on_datagram_listener(Listener& listener);
void on_session(Source* source);
/// Ends sessions that were silent for long. @return milliseconds to the next call, -1 when there are none
int sweep_sessions();

}  // namespace lxmgr::proxy
