package android.graphics;

import java.nio.Buffer;

/** What Deblurrer.kt and the examples in docs/ may call of Android's class of this name, for a compiler without Android's SDK. */
public final class Bitmap {
    public enum Config { ARGB_8888 }

    public native int getWidth();
    public native int getHeight();
    public native void getPixels(int[] pixels, int offset, int stride, int x, int y, int width, int height);
    public native void copyPixelsFromBuffer(Buffer source);
    public native void copyPixelsToBuffer(Buffer destination);
    public static native Bitmap createBitmap(int[] colors, int width, int height, Config config);
    public static native Bitmap createBitmap(int width, int height, Config config);
    public static native Bitmap createScaledBitmap(Bitmap source, int width, int height, boolean filter);
}
