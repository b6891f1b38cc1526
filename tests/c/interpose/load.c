/* load LIBRARY: loads and unloads the library at run time, with use of sockets
 * before, between and after. */
#include "say.h"

#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static void use(void)
{
    int fd = NEED(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    SAY(bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
    SAY(listen(fd, 1));
    SAY(close(fd));
}

int main(int argc, char **argv)
{
    (void)argc;
    use();
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        printf("%s\n", dlerror());
    else
        SAY(dlsym(library, "flextcp_init") != NULL);
    use();
    ssize_t (*their_write)(int, const void *, size_t) = dlsym(library, "write");
    SAY(their_write(1, "written\n", 8));
    SAY(dlclose(library));
    use();
    return 0;
}
