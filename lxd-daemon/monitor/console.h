#pragma once

namespace lxmgr::monitor {

/// The console: a pty whose master we hold. Its output goes to the ring file and to every attached client;
/// while none is attached, we answer the few questions that a terminal must (systemd 262 waits for them,
/// docs/explanation/kernel-facts.md).
void set_console_ring(int file);
void set_console_master(int master);
[[nodiscard]] int console_master();

/// Reads what is there. Keeps the pty alive over hangups. @return false when there is no console any more
bool read_console();
/// @return false: too many clients
bool add_console_client(int stream);
enum class ClientInput { taken, blocked, gone };
/// Hands a client's input to the guest. blocked: again when the master can be written; gone: the caller
/// closes it.
ClientInput read_console_client(int stream);
void remove_console_client(int stream);
void resize_console(unsigned columns, unsigned rows);

}  // namespace lxmgr::monitor
