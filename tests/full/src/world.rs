//! A server's machine and a client's, each with TAS or the Linux stack.

use std::time::Duration;

use crate::net::{Net, Side};
use crate::program::Program;
use crate::repository::bench;
use crate::tas::{PORT, Tas, TasOptions};

/// Whose TCP a machine uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// The service's.
    Tas,
    /// The kernel's.
    Linux,
}

impl Stack {
    fn suffix(self) -> &'static str {
        match self {
            Stack::Tas => "ll",
            Stack::Linux => "linux",
        }
    }
}

const LISTENS: Duration = Duration::from_secs(20);

/// Both machines at work; the server's is [`Side::Near`].
pub struct World<'a> {
    net: &'a Net,
    server: (Stack, Option<Tas<'a>>),
    client: (Stack, Option<Tas<'a>>),
}

impl<'a> World<'a> {
    /// Starts what the stacks need.
    ///
    /// # Panics
    /// When the service does not start.
    pub fn new(net: &'a Net, server: Stack, client: Stack, options: &TasOptions) -> World<'a> {
        let start = |side, stack| match stack {
            Stack::Tas => Some(Tas::start(net, side, options)),
            Stack::Linux => {
                net.give_linux(side);
                None
            }
        };
        World {
            net,
            server: (server, start(Side::Near, server)),
            client: (client, start(Side::Far, client)),
        }
    }

    /// Starts a program of `tests/c/bench` that listens, and waits until it does.
    ///
    /// # Panics
    /// When it does not.
    pub fn server(&self, name: &str, args: &[&str]) -> Program {
        let mut server = self.program(Side::Near, name, args);
        server.wait_for("listening", LISTENS);
        server
    }

    /// An echo server for messages of that size.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn echo_server(&self, message_size: usize) -> Program {
        let size = message_size.to_string();
        self.server("echoserver", &[PORT, "1", "-", "131072", &size])
    }

    /// Starts a program of `tests/c/bench` on the client's machine.
    pub fn client(&self, name: &str, args: &[&str]) -> Program {
        self.program(Side::Far, name, args)
    }

    /// The same with variables in its environment.
    pub fn client_with(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> Program {
        let mut command = self.command(Side::Far, name);
        command.args(args).envs(env.iter().copied());
        Program::start(name, command)
    }

    /// Address of the server's machine.
    pub fn server_ip(&self) -> &'static str {
        Side::Near.ip()
    }

    /// The services that run.
    pub fn services(&mut self) -> impl Iterator<Item = &mut Tas<'a>> {
        self.server.1.iter_mut().chain(self.client.1.iter_mut())
    }

    /// Once the programs have ended: no connection is left, and the services
    /// end and leave nothing behind.
    ///
    /// # Panics
    /// Otherwise.
    pub fn end(mut self) {
        for tas in self.services() {
            tas.is_idle();
        }
        for tas in [self.server.1, self.client.1].into_iter().flatten() {
            tas.stop();
        }
    }

    /// Starts a program of `tests/c/bench` on either machine.
    pub fn program(&self, side: Side, name: &str, args: &[&str]) -> Program {
        let mut command = self.command(side, name);
        command.args(args);
        Program::start(name, command)
    }

    fn command(&self, side: Side, name: &str) -> std::process::Command {
        let stack = match side {
            Side::Near => self.server.0,
            Side::Far => self.client.0,
        };
        let program = bench(&format!("{name}_{}", stack.suffix()));
        self.net.command(side, program)
    }
}
