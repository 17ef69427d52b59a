import assert from 'node:assert/strict';
import sharp from 'sharp';
import { previewImage } from '../../../src/engine/image';

describe('previewImage', () => {
  const picture = sharp({
    create: { width: 600, height: 300, channels: 3, background: '#336699' },
  });

  it('turns a TIFF into a PNG within the given side, with the same colours', async () => {
    const tiff = await picture.clone().tiff({ compression: 'deflate' }).toBuffer();
    const png = await previewImage(tiff, 'a.tiff', 200);
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    assert.equal((await sharp(png).metadata()).format, 'png');
    assert.deepEqual([info.width, info.height], [200, 100]);
    assert.deepEqual([...data.subarray(0, 3)], [0x33, 0x66, 0x99]);
  });

  it('never enlarges', async () => {
    const tiff = await picture.clone().tiff({ compression: 'deflate' }).toBuffer();
    const { width } = await sharp(await previewImage(tiff, 'a.tiff', 5000)).metadata();
    assert.equal(width, 600);
  });

  it('says what is wrong with a broken file', async () => {
    await assert.rejects(previewImage(new Uint8Array([1, 2, 3]), 'a.tiff', 200), /a\.tiff/);
  });
});
