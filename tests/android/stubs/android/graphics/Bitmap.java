package android.graphics;

/** What Deblurrer.kt calls of Android's class of this name, for a compiler without Android's SDK. */
public final class Bitmap {
    public enum Config { ARGB_8888 }

    public native int getWidth();
    public native int getHeight();
    public native void getPixels(int[] pixels, int offset, int stride, int x, int y, int width, int height);
    public static native Bitmap createBitmap(int[] colors, int width, int height, Config config);
}
