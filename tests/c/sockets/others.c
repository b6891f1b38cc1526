/* Sockets that are not TCP over IPv4 are the kernel's, untouched. */
#include <sys/un.h>

#include "test.h"

int main(void)
{
    struct sockaddr_in addr = address("127.0.0.1", 0);
    socklen_t len = sizeof addr;
    char text[16] = "";
    int pair[2];

    say("# UDP");
    int receiver = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
    R(bind(receiver, SA(&addr), sizeof addr));
    R(getsockname(receiver, SA(&addr), &len));
    R(sendto(sender, "datagram", 8, 0, SA(&addr), sizeof addr));
    R(recvfrom(receiver, text, sizeof text, 0, SA(&addr), &len));
    say("text: %s", text);
    R(listen(receiver, 1));
    R(recv(receiver, text, sizeof text, MSG_DONTWAIT));

    say("# unix");
    R(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    R(send(pair[0], "packet", 6, 0));
    R(recv(pair[1], text, 3, MSG_TRUNC));

    say("# a descriptor passed over a unix socket");
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec part = { "f", 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &ends[1], sizeof(int));
    R(sendmsg(pair[0], &message, 0));
    part.iov_base = text;
    R(recvmsg(pair[1], &message, 0));
    int passed;
    memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof passed);
    R(write(passed, "through", 7));
    R(read(ends[0], text, sizeof text));

    say("# files");
    char path[] = "/tmp/tas-others-XXXXXX";
    int file = mkstemp(path);
    unlink(path);
    R(write(file, "contents", 8));
    R(pread(file, text, 3, 2));
    R(lseek(file, 0, SEEK_SET));
    R(sendfile(pair[0], file, NULL, 4));
    R(recv(pair[1], text, sizeof text, 0));
    int copy = OK(fcntl(file, F_DUPFD_CLOEXEC, 100));
    R(close(file));
    R(write(copy, "x", 1));
    return 0;
}
