// Unpacks with node-tar or tar-fs, one archive after another; the first argument is where the library lies.
//
// A line of standard input is `mode TAB archive TAB folder`; the answer is a line, `ok` or what went wrong.
// In mode `strict` a warning is an error, in mode `stream` the bytes come through a pipe, `fs` is for tar-fs.

const fs = require('fs');
const readline = require('readline');
const zlib = require('zlib');
const { pipeline } = require('stream/promises');
const library = require(process.argv[2]);

async function unpack(mode, archive, folder) {
  if (mode === 'fs') {
    await pipeline(fs.createReadStream(archive), zlib.createGunzip(), library.extract(folder));
  } else if (mode === 'stream') {
    await pipeline(fs.createReadStream(archive), library.x({ C: folder }));
  } else {
    await library.x({ file: archive, C: folder, strict: mode === 'strict' });
  }
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [mode, archive, folder] = line.split('\t');
    let answer = 'ok';
    try {
      await unpack(mode, archive, folder);
    } catch (error) {
      answer = String(error).replace(/\s+/g, ' ') || 'an error without words';
    }
    process.stdout.write(answer + '\n');
  }
})();
