// What a Node program takes for granted.
const { execFileSync } = require('child_process');
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const { Worker, isMainThread, parentPort } = require('worker_threads');

if (!isMainThread) {
  parentPort.postMessage('from a thread');
} else {
  main().then(() => process.exit(0), (error) => { console.log(error); process.exit(1); });
}

async function main() {
  const said = await new Promise((resolve, reject) => {
    new Worker(__filename).on('message', resolve).on('error', reject);
  });
  console.log('worker:', said);
  console.log('child:', execFileSync('sh', ['-c', 'echo run']).toString().trim());
  const folder = await fs.promises.mkdtemp(path.join(os.tmpdir(), 'node-'));
  await fs.promises.writeFile(path.join(folder, 'x'), 'x');
  await fs.promises.rm(folder, { recursive: true });
  console.log('files: ok');
  console.log('user:', os.userInfo().uid === process.getuid(), os.cpus().length > 0);
  const server = http.createServer((_, answer) => answer.end('served'));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const answer = await fetch(`http://127.0.0.1:${server.address().port}`);
  console.log('http:', await answer.text());
  server.close();
  require('zlib').gzipSync(Buffer.alloc(1 << 20));
  console.log('random:', require('crypto').randomBytes(8).length);
}
