import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert/strict';
import { readCheckpoint } from '../../../src/engine/checkpoint';
import { type TextCodec, TextStream } from '../../../src/engine/textCodec';
import { plainCheckpoint } from './models';

describe('text codec', () => {
  let codec: TextCodec;
  before(async () => {
    ({ codec } = await readCheckpoint(plainCheckpoint));
  });

  it('gives a text back', () => {
    for (const text of ['What is it?', ' ما هذا؟', '🦊 fox', 'a\nb\tc']) {
      strictEqual(codec.decode(codec.encode(text)), text);
    }
  });

  it('leaves control tokens out of a decoded text', () => {
    strictEqual(codec.decode(codec.encode('<|im_start|>Hi<|im_end|>')), 'Hi');
  });

  it('streams what decoding at once gives, holding unfinished characters back', () => {
    const ids = codec.encode('The 🦊 says “ναι” — and 好 again, <|im_end|>twice.');
    const stream = new TextStream(codec);
    const seen: string[] = [];
    for (const id of ids) {
      stream.push(id);
      seen.push(stream.text);
    }
    const whole = codec.decode(ids);
    strictEqual(stream.text, whole);
    strictEqual(stream.finish(), whole);
    for (const [i, text] of seen.entries()) {
      ok(whole.startsWith(text), `${text} is no beginning`);
      ok(i === 0 || text.startsWith(seen[i - 1]!), 'the text shrank');
      ok(!text.includes('\uFFFD'));
    }
    ok(new Set(seen).size > 20);
  });

  it('reads the stream now and then only, with the same result', () => {
    const ids = codec.encode('A 🦊 and another 🦊 and one more 🦊.');
    const stream = new TextStream(codec);
    for (const [i, id] of ids.entries()) {
      stream.push(id);
      if (i % 5 === 4) ok(codec.decode(ids).startsWith(stream.text));
    }
    strictEqual(stream.text, codec.decode(ids));
  });

  it('places images before the question and the instruction after it', () => {
    const prompt = codec.renderPrompt(2, 'Which?', ' Be brief.');
    const images = '<|vision_start|><|image_pad|><|vision_end|>'.repeat(2);
    ok(prompt.endsWith(`${images}Which? Be brief.<|im_end|>\n<|im_start|>assistant\n`), prompt);
  });

  it('refuses control tokens in a question', () => {
    throws(() => codec.renderPrompt(1, 'a<|image_pad|>b', ''), { code: 'badInput' });
    deepStrictEqual(codec.encode('<|image_pad|>').length, 1);
  });
});
