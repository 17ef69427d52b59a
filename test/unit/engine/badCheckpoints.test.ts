import { create, toBinary } from '@bufbuild/protobuf';
import { ok, rejects } from 'node:assert/strict';
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel } from '../../../src/engine/model';
import { ValueInfoProtoSchema } from '../../../src/engine/onnxSchema';
import { AvisError } from '../../../src/shared/errors';
import { fixtures } from './reference';

const checkpoints = join(fixtures, 'checkpoints');
const original = join(checkpoints, 'qwen2_5_vl-tiny');
const jsonFiles = [
  'config.json',
  'generation_config.json',
  'preprocessor_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.json',
];
const graphs = ['vision_encoder', 'embed_tokens', 'decoder_model_merged'];
const graphFile = (graph: string) => `onnx/${graph}.onnx`;

/** Each is refused at load with one clear sentence or two, and nothing of onnxruntime's insides. */
describe('a checkpoint with a wrong file is refused while loading:', function () {
  this.timeout(30_000);
  let temporary: string;
  let folder: string;
  beforeEach(() => {
    temporary = mkdtempSync(join(tmpdir(), 'avis-bad-'));
    folder = join(temporary, 'checkpoint');
    cpSync(original, folder, { recursive: true });
  });
  afterEach(() => {
    rmSync(temporary, { recursive: true });
  });
  const at = (file: string) => join(folder, file);

  it('a Qwen3-VL export whose language model takes DeepStack planes', async () => {
    rmSync(folder, { recursive: true });
    cpSync(join(checkpoints, 'qwen3_vl-tiny'), folder, { recursive: true });
    const input = toBinary(
      ValueInfoProtoSchema,
      create(ValueInfoProtoSchema, {
        name: 'deepstack_visual_embeds.0',
        type: { tensorType: { elemType: 1 } },
      }),
    );
    // One more graph { input } at the end of a model is merged into its graph.
    const graph = Buffer.concat([Buffer.of((11 << 3) | 2, input.length), input]);
    const addition = Buffer.concat([Buffer.of((7 << 3) | 2, graph.length), graph]);
    appendFileSync(at(graphFile('decoder_model_merged')), addition);
    await refused(
      /^onnx\/decoder_model_merged\.onnx takes DeepStack planes \(deepstack_visual_embeds\.0\), which are not supported: use an export without them, such as onnx-community\/Qwen3-VL-2B-Instruct-ONNX\.$/,
    );
  });

  async function refused(message: RegExp) {
    const cacheFolder = join(temporary, 'cache');
    await rejects(
      loadModel({ folder, device: 'cpu', dtype: 'auto', cacheFolder }, () => {}),
      (error) => {
        ok(error instanceof AvisError, String(error));
        ok(
          error.code === 'badModel' && message.test(error.message),
          `${error.code}: ${error.message}`,
        );
        ok(!/onnxruntime|\.cc:|\n/.test(error.message), error.message);
        return true;
      },
    );
  }

  for (const file of [...jsonFiles, ...graphs.map(graphFile)]) {
    const name = file.replace('.', '\\.');
    const complaint = new RegExp(`${name}.* (isn't valid JSON|is cut off or not an ONNX file)`);
    it(`${file} cut in half`, async () => {
      truncateSync(at(file), Math.floor(statSync(at(file)).size / 2));
      await refused(complaint);
    });
    it(`${file} empty`, async () => {
      truncateSync(at(file), 0);
      await refused(complaint);
    });
  }

  const sizes: [string, string, string, number][] = [
    ['qwen2_5_vl-tiny', 'preprocessor_config.json', 'merge_size', 0],
    ['qwen2_5_vl-tiny', 'preprocessor_config.json', 'patch_size', 14.5],
    ['smolvlm-tiny', 'config.json', 'scale_factor', 0],
    ['lfm2_vl-tiny', 'preprocessor_config.json', 'downsample_factor', 0],
  ];
  for (const [checkpoint, file, key, value] of sizes) {
    it(`${key} ${value} in ${file} of ${checkpoint}`, async () => {
      cpSync(join(checkpoints, checkpoint), folder, { recursive: true });
      const json = JSON.parse(readFileSync(at(file), 'utf8')) as object;
      writeFileSync(at(file), JSON.stringify({ ...json, [key]: value }));
      await refused(/ give sizes that no image can be cut to/);
    });
  }

  const swaps: [string, string, RegExp][] = [
    [
      'smolvlm-tiny',
      'config.json',
      /max_image_size\.longest_edge .* preprocessor_config\.json is missing/,
    ],
    ['qwen3_vl-tiny', 'config.json', /decoder_model_merged\.onnx has .* KV heads of 8 .* 2 of 16/],
    ['smolvlm-tiny', 'tokenizer.json', /tokenizer\.json doesn't belong to this config\.json/],
    ['smolvlm-tiny', 'chat_template.json', /chat template places 0 images where 1 were given/],
    [
      'qwen2_vl-tiny',
      'preprocessor_config.json',
      /vision_encoder\.onnx should be float32 \[patches, 1176\], but/,
    ],
    [
      'smolvlm-tiny',
      graphFile('vision_encoder'),
      /pixel_values of onnx\/vision_encoder\.onnx should be/,
    ],
    ['qwen2_vl-tiny', graphFile('vision_encoder'), /should be float32 \[patches, 384\], but/],
    [
      'qwen3_vl-tiny',
      graphFile('decoder_model_merged'),
      /2 of 8\. The files belong to different models/,
    ],
  ];
  for (const [other, file, message] of swaps) {
    it(`${file} of ${other}`, async () => {
      cpSync(join(checkpoints, other, file), at(file));
      await refused(message);
    });
  }

  const mixedUp: [string, string, RegExp][] = [
    ['embed_tokens', 'vision_encoder', /input_ids of onnx\/vision_encoder\.onnx should be/],
    ['decoder_model_merged', 'vision_encoder', /of onnx\/vision_encoder\.onnx should be/],
    [
      'vision_encoder',
      'embed_tokens',
      /embed_tokens\.onnx takes pixel_values \(float32\) where token ids/,
    ],
    [
      'decoder_model_merged',
      'embed_tokens',
      /embed_tokens\.onnx takes inputs_embeds .* where token ids/,
    ],
    ['vision_encoder', 'decoder_model_merged', /decoder_model_merged\.onnx has 0 layers/],
    ['embed_tokens', 'decoder_model_merged', /decoder_model_merged\.onnx has 0 layers/],
  ];
  for (const [from, to, message] of mixedUp) {
    it(`${from} in place of ${to}`, async () => {
      cpSync(at(graphFile(from)), at(graphFile(to)));
      await refused(message);
    });
  }

  describe('external data', () => {
    const graph = join(fixtures, 'attention/external_data.onnx');
    const data = `${graph}_data`;

    it('that is missing', async () => {
      cpSync(graph, at(graphFile('vision_encoder')));
      await refused(/weights file beside onnx\/vision_encoder\.onnx \(\.onnx_data\) is missing/);
    });

    // As long as the name that they replace.
    for (const outside of ['../../outside.onnx_data', '/weights/elsewhere.data']) {
      it(`at ${outside}`, async () => {
        const bytes = readFileSync(graph, 'latin1').replaceAll('external_data.onnx_data', outside);
        writeFileSync(at(graphFile('vision_encoder')), bytes, 'latin1');
        cpSync(data, join(temporary, 'outside.onnx_data'));
        await refused(/asks for weights outside its own folder, which is not allowed/);
      });
    }

    it('behind a symbolic link', async () => {
      cpSync(graph, at(graphFile('vision_encoder')));
      cpSync(data, join(temporary, 'blob'));
      symlinkSync(join(temporary, 'blob'), at('onnx/external_data.onnx_data'));
      await refused(/outside its own folder.* copy the folder with its links followed\.$/);
    });
  });

  it('a graph of more than 2 GB', async () => {
    truncateSync(at(graphFile('decoder_model_merged')), 2.2e9); // sparse: takes no room on the disk
    await refused(
      /decoder_model_merged\.onnx has 2\.2 GB, and an ONNX file can't be larger than 2 GB/,
    );
  });
});
