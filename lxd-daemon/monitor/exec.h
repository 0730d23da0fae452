#pragma once
#include "lxd-daemon/monitor/message_io.h"

namespace lxmgr::monitor {

/// Starts the seat (runtime/child/seat.h), from which commands are forked. Returns at once; a failure shows
/// at the first command.
void start_seat();
/// Ends and reaps it, so that its cgroups can be removed.
void end_seat();

/// True while the seat has enough to do: the caller leaves further exec requests where they are.
bool exec_is_busy();
/// Hands the request in `message` over to the seat; the answer goes to `channel`.
void forward_exec(int channel, const char* message, std::size_t size, const wire::ReceivedFds& fds);
/// A message from the seat, or its end.
void on_seat_message(int socket);
/// A message on, or the end of, the connection of a command.
void on_exec_channel(int channel);
/// A command has ended.
void on_command_end(int pidfd);
/// Sends the end of every command that has ended: when init is gone, all have.
void finish_commands();

}  // namespace lxmgr::monitor
