// An HTTP server as node's manual has it. SIGTERM ends it.
const http = require('http');

const server = http.createServer((request, response) => {
    if (request.url === '/echo') {
        request.pipe(response);
    } else if (request.url === '/who') {
        response.end(request.socket.remoteAddress + '\n');
    } else {
        response.setHeader('Content-Type', 'text/plain');
        response.end('x'.repeat(1000) + '\n');
    }
});
server.listen(Number(process.argv[2]), () => console.log('listening on', server.address()));
process.on('SIGTERM', () => {
    server.close(() => process.exit(0));
    server.closeAllConnections();
});
