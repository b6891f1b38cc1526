/* One connection, several threads: both directions at once, many senders. */
#include "test.h"

enum { MUCH = 8 << 20, SENDERS = 4, MESSAGES = 500, SIZE = 64 };

static int fd;

static void *send_much(void *arg)
{
    (void) arg;
    send_all(fd, 0, MUCH);
    return NULL;
}

static void *receive_much(void *arg)
{
    long *received = arg;

    *received = receive_all(fd, 0, MUCH);
    return NULL;
}

static void *send_messages(void *arg)
{
    char message[SIZE];

    memset(message, *(char *) arg, sizeof message);
    for (int i = 0; i < MESSAGES; i++)
        if (send(fd, message, sizeof message, 0) != sizeof message)
            die("send");
    return NULL;
}

static void *take_some(void *arg)
{
    long *sum = arg;
    char bytes[1000];
    ssize_t got;

    while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
        *sum += got;
    return NULL;
}

int main(void)
{
    int slot;
    long received = 0;

    say("# one sends while another receives");
    fd = connect_peer(&slot);
    peer_after(0, "echo %d", slot);
    pthread_t receiver = in_thread(receive_much, &received), sender = in_thread(send_much, NULL);
    pthread_join(sender, NULL);
    pthread_join(receiver, NULL);
    say("received: %d", received == MUCH);
    close(fd);

    say("# short messages of several senders all arrive");
    fd = connect_peer(&slot);
    peer_after(0, "echo %d", slot);
    pthread_t senders[SENDERS];
    static char letters[SENDERS] = { 'a', 'b', 'c', 'd' };
    for (int i = 0; i < SENDERS; i++)
        senders[i] = in_thread(send_messages, &letters[i]);
    /* Not whole, for a write that waits for room lets others in between. */
    int counts[SENDERS] = { 0 };
    for (int i = 0; i < SENDERS * MESSAGES; i++) {
        char message[SIZE];
        if (recv(fd, message, sizeof message, MSG_WAITALL) != sizeof message)
            die("recv");
        for (int j = 0; j < SIZE; j++)
            if (message[j] >= 'a' && message[j] < 'a' + SENDERS)
                counts[message[j] - 'a']++;
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i], NULL);
        say("%c: %d", letters[i], counts[i]);
    }
    close(fd);

    say("# several receivers share what comes, and all see the end");
    fd = connect_peer(&slot);
    long sums[3] = { 0 };
    pthread_t takers[3];
    for (int i = 0; i < 3; i++)
        takers[i] = in_thread(take_some, &sums[i]);
    peer("send %d 1000000", slot);
    peer("shut %d wr", slot);
    for (int i = 0; i < 3; i++)
        pthread_join(takers[i], NULL);
    say("sum: %ld", sums[0] + sums[1] + sums[2]);
    close(fd);

    say("# made in one thread, used in another, closed in a third");
    fd = connect_peer(&slot);
    peer_after(0, "echo %d", slot);
    sender = in_thread(send_much, NULL);
    receiver = in_thread(receive_much, &received);
    pthread_join(sender, NULL);
    pthread_join(receiver, NULL);
    say("received: %d", received == MUCH);
    R(close(fd));
    return 0;
}
