import { match, ok, rejects, strictEqual } from 'node:assert/strict';
import {
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { hashFiles } from '../../../src/engine/fileHashes';
import { loadModel } from '../../../src/engine/model';
import { AvisError } from '../../../src/shared/errors';
import { loadFixture, plainCheckpoint, temporaryFolder } from './models';
import { fixtures } from './reference';

const otherCheckpoint = join(fixtures, 'checkpoints/qwen2_vl-tiny');

describe('a broken checkpoint', () => {
  const cacheFolder = temporaryFolder();
  const folder = join(cacheFolder, 'checkpoint');
  const at = (file: string) => join(folder, file);
  const load = (dtype = 'auto') =>
    loadModel({ folder, device: 'cpu', dtype, cacheFolder }, () => {});
  beforeEach(() => cpSync(plainCheckpoint, folder, { recursive: true }));
  afterEach(() => rmSync(folder, { recursive: true }));

  const graphs = ['vision_encoder', 'embed_tokens', 'decoder_model_merged'];
  const missing: [string, RegExp][] = [
    ['config.json', /has no config\.json/],
    ['preprocessor_config.json', /has no preprocessor_config\.json/],
    ['tokenizer.json', /has no tokenizer\.json/],
    ['tokenizer_config.json', /has no tokenizer_config\.json/],
    ['chat_template.json', /has no chat template/],
    ...graphs.map((graph): [string, RegExp] => [
      `onnx/${graph}.onnx`,
      new RegExp(`has no onnx/${graph}\\.onnx .*It has: `),
    ]),
  ];
  for (const [file, message] of missing) {
    it(`is refused without ${file}`, async () => {
      rmSync(at(file));
      await rejects(load(), { code: 'badModel', message });
    });
  }

  it('loads without generation_config.json, the end token being in config.json too', async () => {
    rmSync(at('generation_config.json'));
    const model = await load();
    strictEqual(model.checkpoint.endTokenIds.join(), '302');
    await model.release();
  });

  for (const graph of graphs) {
    it(`is refused with a ${graph} that is cut off`, async () => {
      truncateSync(at(`onnx/${graph}.onnx`), 20_000);
      await rejects(load(), {
        code: 'badModel',
        message: `onnx/${graph}.onnx is cut off or not an ONNX file. Get the checkpoint again.`,
      });
    });
  }

  for (const file of ['config.json', 'tokenizer.json', 'preprocessor_config.json']) {
    it(`is refused with a ${file} that is cut off`, async () => {
      truncateSync(at(file), 100);
      await rejects(load(), { code: 'badModel', message: new RegExp(`^${file} .* valid JSON`) });
    });
  }

  it('is refused with the decoder of another model', async () => {
    const path = 'checkpoints/idefics3-tiny/onnx/decoder_model_merged.onnx';
    cpSync(join(fixtures, path), at('onnx/decoder_model_merged.onnx'));
    await rejects(load(), {
      code: 'badModel',
      message:
        /decoder_model_merged\.onnx takes 1 position for each token; a qwen2_5_vl model has 3\. .* different models/,
    });
  });

  it('is refused with the vision encoder of another family', async () => {
    const path = 'onnx/vision_encoder.onnx';
    cpSync(join(otherCheckpoint, path), at(path));
    await rejects(load(), {
      code: 'badModel',
      message:
        /^Input pixel_values of onnx\/vision_encoder\.onnx should be float32 \[patches, 384\]/,
    });
  });

  it('is refused for an architecture without an adapter', async () => {
    for (const name of ['llava_next', 'constructor']) {
      edit('config.json', (config) => ({ ...config, model_type: name }));
      const message = new RegExp(`is a ${name} model, .* Supported are .*qwen2_5_vl`);
      await rejects(load(), { code: 'badModel', message });
    }
  });

  it('is refused naming the key of a config that lacks a value', async () => {
    edit('config.json', (config) => ({ ...config, num_hidden_layers: undefined }));
    await rejects(load(), {
      code: 'badModel',
      message: "num_hidden_layers in the checkpoint's config.json is missing; expected a number.",
    });
  });

  it('is refused where there is no folder', async () => {
    const gone = join(folder, 'gone');
    await rejects(loadFixture(gone, cacheFolder), /There is no checkpoint folder .*gone/);
    await rejects(loadFixture(at('config.json'), cacheFolder), /There is no checkpoint folder/);
  });

  it('is refused when it asks for weights outside its folder', async () => {
    mkdirSync(at('elsewhere'));
    const graph = 'onnx/vision_encoder.onnx';
    const external = join(fixtures, 'attention/external_data.onnx');
    const name = 'external_data.onnx_data';
    const outside = `../${'x'.repeat(name.length - 3)}`;
    const bytes = readFileSync(external);
    const place = bytes.indexOf(name);
    ok(place > 0);
    bytes.write(outside, place);
    writeFileSync(at(graph), bytes);
    await rejects(load(), {
      code: 'badModel',
      message: /asks for weights outside its own folder, which is not allowed/,
    });
  });

  it('is refused when the weights beside a graph are missing', async () => {
    const external = join(fixtures, 'attention/external_data.onnx');
    cpSync(external, at('onnx/vision_encoder.onnx'));
    await rejects(load(), { code: 'badModel', message: /weights file beside .* is missing/ });
  });

  it('is refused for a dtype that it has not, naming those it has', async () => {
    await rejects(load('q4'), {
      code: 'badModel',
      message: /no q4 graphs\. It has: decoder_model/,
    });
    await rejects(load('fp13'), { code: 'badInput', message: /no dtype "fp13".*q4f16/ });
  });

  it('is refused for bins that leave a gap', async () => {
    mkdirSync(at('avis'));
    writeFileSync(at('avis/policy.json'), JSON.stringify({ bins: [{ upTo: 0.5, k: 3 }] }));
    await rejects(load(), { code: 'badModel', message: /^bins in the checkpoint's avis\/policy/ });
  });

  it('is refused for a repetition penalty that would divide by zero', async () => {
    edit('generation_config.json', (config) => ({ ...config, repetition_penalty: 0 }));
    await rejects(load(), {
      code: 'badModel',
      message:
        /^repetition_penalty in .*generation_config\.json is 0; expected a number from 0\.1 to/,
    });
  });

  it('is refused for the statistics of another model', async () => {
    mkdirSync(at('avis'));
    const familiarity = { mean: [0, 0], spread: [1, 1], threshold: 1 };
    const policy = { bins: [{ upTo: 1, k: 3 }], familiarity };
    writeFileSync(at('avis/policy.json'), JSON.stringify(policy));
    await rejects(load(), {
      code: 'badModel',
      message: /^familiarity in .* has 2 values; .* have 32/,
    });
  });

  it('takes the variant wanted where there is one, and says which', async () => {
    renameSync(at('onnx/decoder_model_merged.onnx'), at('onnx/decoder_model_merged_q4.onnx'));
    const model = await load('fp32');
    strictEqual(model.info.dtypes['decoder_model_merged'], 'q4');
    strictEqual(model.info.dtypes['vision_encoder'], 'fp32');
    await model.release();
  });

  it('warns of coarse weights in the vision encoder', async () => {
    renameSync(at('onnx/vision_encoder.onnx'), at('onnx/vision_encoder_q4.onnx'));
    const model = await load();
    match(model.info.warnings.join(' '), /The vision encoder is q4: quantized weights distort/);
    await model.release();
  });

  it('is told by its hashes, which are computed once', async () => {
    const [file = ''] = ['config.json'];
    const first = await hashFiles(folder, [file], cacheFolder);
    match(first[file]!, /^[0-9a-f]{64}$/);
    edit(file, (config) => ({ ...config, note: 'changed' }));
    const second = await hashFiles(folder, [file], cacheFolder);
    ok(second[file] !== first[file]);
  });

  it('stops loading when it is canceled', async () => {
    const controller = new AbortController();
    const reason = new AvisError('superseded', 'Another model was chosen.');
    const loading = loadModel(
      { folder, device: 'cpu', dtype: 'auto', cacheFolder },
      ({ message }) => {
        if (message === 'Loading the language model') controller.abort(reason);
      },
      controller.signal,
    );
    await rejects(loading, reason);
  });

  type Json = Record<string, unknown>;
  function edit(file: string, change: (json: Json) => Json): void {
    const json = JSON.parse(readFileSync(at(file), 'utf8')) as Json;
    writeFileSync(at(file), JSON.stringify(change(json)));
  }
});
