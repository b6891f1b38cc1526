// client.js URL COUNT DIRECTORY: fetches small COUNT times over few connections and middle once,
// and compares.
const fs = require('fs');
const http = require('http');

const [url, count, directory] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 20 });

function fetchAndCompare(name) {
    const expected = fs.readFileSync(`${directory}/${name}`);
    return new Promise((resolve, reject) => {
        http.get(`${url}/${name}`, { agent }, (response) => {
            const chunks = [];
            response.on('data', (chunk) => chunks.push(chunk));
            response.on('end', () => resolve(Buffer.concat(chunks).equals(expected)));
            response.on('error', reject);
        }).on('error', reject);
    });
}

(async () => {
    const all = await Promise.all(Array.from({ length: Number(count) }, () => fetchAndCompare('small')));
    if (!(await fetchAndCompare('middle'))) {
        throw new Error('the large file differs');
    }
    console.log(`answered ${all.filter(Boolean).length} of ${count}`);
    agent.destroy();
})();
