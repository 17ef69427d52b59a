import assert from 'node:assert/strict';
import { predictMemory } from '../../../src/shared/memory';
import {
  estimateMemoryBytes,
  listDtypes,
  planDownload,
  type RepositoryFile,
} from '../../../src/hub/downloadPlan';
import { TransferSpeed } from '../../../src/hub/transferSpeed';

function repository(...paths: string[]): RepositoryFile[] {
  return paths.map((path) => ({
    path,
    sizeBytes: 10,
    checksum: { kind: 'sha256', hex: 'ab' },
  }));
}

const base = [
  'config.json',
  'tokenizer.json',
  'onnx/vision_encoder.onnx',
  'onnx/embed_tokens.onnx',
];

describe('planDownload', () => {
  it('takes one decoder, a fine vision tower, external data, and no other folder', () => {
    const files = repository(
      ...base,
      'onnx/vision_encoder_fp16.onnx',
      'onnx/vision_encoder_q4.onnx',
      'onnx/embed_tokens_q4.onnx',
      'onnx/decoder_model_merged_q4.onnx',
      'onnx/decoder_model_merged_q4.onnx_data',
      'onnx/decoder_model_merged_q4.onnx_data_1',
      'onnx/decoder_model_merged_q4f16.onnx',
      'chat_template.jinja',
      'avis/policy.json',
      'README.md',
      'images/example.json',
      'model.safetensors',
    );
    assert.deepEqual(listDtypes(files), ['q4', 'q4f16']);
    const plan = planDownload('a/b', 'sha', files, 'q4');
    assert.deepEqual(plan.files.map(({ path }) => path).sort(), [
      'avis/policy.json',
      'chat_template.jinja',
      'config.json',
      'onnx/decoder_model_merged_q4.onnx',
      'onnx/decoder_model_merged_q4.onnx_data',
      'onnx/decoder_model_merged_q4.onnx_data_1',
      'onnx/embed_tokens_q4.onnx',
      'onnx/vision_encoder_fp16.onnx',
      'tokenizer.json',
    ]);
    assert.equal(plan.totalBytes, 90);
    assert.equal(estimateMemoryBytes(plan), predictMemory(50));
  });

  it('refuses what isn’t a checkpoint, naming the missing file', () => {
    const files = repository('config.json', 'model.safetensors');
    assert.deepEqual(listDtypes(files), []);
    assert.throws(
      () => planDownload('a/b', 'sha', files, 'fp32'),
      /a\/b has no onnx\/vision_encoder\.onnx.*ONNX layout/,
    );
  });

  it('refuses a path that leaves the folder', () => {
    for (const path of ['onnx/decoder_model_merged.onnx_data/../../../x', 'avis/..', 'avis//x']) {
      const files = repository(...base, 'onnx/decoder_model_merged.onnx', path);
      assert.throws(() => planDownload('a/b', 'sha', files, 'fp32'), /stored safely/, path);
    }
  });
});

describe('TransferSpeed', () => {
  it('measures over the last five seconds', () => {
    let now = 0;
    const speed = new TransferSpeed(() => now);
    speed.add(0);
    assert.equal(speed.bytesPerSecond, 0);
    now = 1000;
    speed.add(500);
    assert.equal(speed.bytesPerSecond, 500);
    for (now = 2000; now <= 20_000; now += 1000) speed.add(500 + now);
    assert.equal(speed.bytesPerSecond, 1000);
  });
});
