//! ARP: our addresses announced and defended, neighbours asked for and learned.

use tas_wire::{ArpOp, ArpPacket, Ipv4Addr, MacAddr, arp};

use super::TcpControl;
use super::arp::Due;
use super::world::{Errno, World};
use crate::link::ToFast;
use crate::types::{CoreId, Micros};

/// The core that sends what belongs to no connection.
const FIRST_CORE: CoreId = CoreId(0);
/// An address is defended at most this often (RFC 5227 §2.4, DEFEND_INTERVAL).
const DEFEND_INTERVAL: Micros = Micros(10_000_000);

impl TcpControl {
    /// Announces our addresses (RFC 5227 §2.3).
    pub fn start(&mut self, w: &mut impl World) {
        for addr in &self.cfg.addresses {
            send_arp(
                w,
                FIRST_CORE,
                &ArpPacket::announcement(self.cfg.mac, addr.ip),
            );
        }
    }

    /// RFC 826, "packet reception".
    pub(super) fn on_arp(&mut self, w: &mut impl World, core: CoreId, packet: &ArpPacket) {
        if packet.sender_mac == self.cfg.mac || !packet.sender_mac.is_unicast() {
            return;
        }
        if self.cfg.is_local(packet.sender_ip) {
            return self.on_conflict(w, core, packet);
        }
        let for_us = self.cfg.is_local(packet.target_ip);
        // The sender of a probe has no address yet (RFC 5227 §1.1).
        if self.cfg.is_host(packet.sender_ip) {
            self.learn(w, packet.sender_ip, packet.sender_mac, for_us);
        }
        if for_us && packet.op == ArpOp::Request {
            send_arp(w, core, &packet.reply(self.cfg.mac));
        }
    }

    fn learn(&mut self, w: &mut impl World, ip: Ipv4Addr, mac: MacAddr, create: bool) {
        let learned = self.arp.learn(ip, mac, create, w.now());
        for tuple in learned.waiting {
            if self.is_resolving(&tuple) {
                self.send_syn(w, &tuple, mac);
            }
        }
        if learned.changed {
            self.update_flows(w, ip, mac);
        }
    }

    /// Tells the cores of a neighbour's new address.
    fn update_flows(&mut self, w: &mut impl World, ip: Ipv4Addr, mac: MacAddr) {
        for (flow, record) in &mut self.flows {
            if record.neighbour == Some(ip) && record.mac != mac && record.end.is_none() {
                record.mac = mac;
                w.send(w.core(record.group), ToFast::RemoteMac(*flow, mac));
            }
        }
    }

    /// Another station uses an address of ours: says so, and says whose it is (RFC 5227 §2.4).
    fn on_conflict(&mut self, w: &mut impl World, core: CoreId, packet: &ArpPacket) {
        self.counts.arp_conflicts += 1;
        let now = w.now();
        if self
            .defended
            .is_some_and(|last| now.since(last) < DEFEND_INTERVAL)
        {
            return;
        }
        self.defended = Some(now);
        log::warn!(
            "address conflict: {} also claims {}",
            packet.sender_mac,
            packet.sender_ip
        );
        let announcement = ArpPacket::announcement(self.cfg.mac, packet.sender_ip);
        send_arp(w, core, &announcement);
    }

    /// Asks for a neighbour.
    pub(super) fn send_arp_request(&self, w: &mut impl World, ip: Ipv4Addr) {
        let request = ArpPacket::request(self.cfg.mac, self.cfg.source_for(ip), ip);
        send_arp(w, FIRST_CORE, &request);
    }

    /// Repeats requests and gives up on silent neighbours.
    pub(super) fn poll_arp(&mut self, w: &mut impl World, now: Micros) {
        while let Some(due) = self.arp.poll(now) {
            match due {
                Due::Ask(ip) => self.send_arp_request(w, ip),
                Due::Failed(waiting) => {
                    self.counts.arp_failures += 1;
                    for tuple in waiting {
                        if self.is_resolving(&tuple) {
                            self.fail_open(w, &tuple, Errno::HOSTUNREACH);
                        }
                    }
                }
            }
        }
    }
}

fn send_arp(w: &mut impl World, core: CoreId, packet: &ArpPacket) {
    let mut frame = [0; arp::FRAME_LEN];
    // The buffer has just the size of the frame.
    if packet.emit(&mut frame).is_ok() {
        w.send(core, ToFast::Transmit(frame.as_slice().into()));
    }
}
