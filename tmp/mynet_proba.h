
#include <eml_net.h>
static const float mynet_layer_0_biases[8] = { -0.007793f, 0.174910f, 0.330007f, -0.031224f, -0.259819f, 0.154720f, -0.109035f, 0.156444f };
static const float mynet_layer_0_weights[32] = { -0.009840f, -0.026037f, -0.019493f, -0.039688f, 0.020651f, 0.041657f, 0.028088f, -0.017787f, -0.001666f, 0.000098f, 0.034259f, 0.058260f, -0.029979f, 0.049154f, 0.066294f, -0.010452f, 0.006121f, -0.064096f, -0.070621f, 0.011569f, 0.068620f, -0.002696f, 0.063513f, -0.067242f, -0.015550f, 0.056661f, -0.006152f, 0.040985f, -0.035171f, -0.060012f, -0.046037f, 0.070150f };
static const float mynet_layer_1_biases[3] = { -0.002000f, 0.002000f, -0.002000f };
static const float mynet_layer_1_weights[24] = { 0.712848f, -0.338596f, -0.036394f, 0.234435f, -0.581397f, 0.072600f, 0.395519f, -0.265841f, 0.684573f, -0.544004f, 0.633654f, -0.051336f, -0.065192f, -0.048235f, -0.190234f, -0.406625f, -0.292890f, -0.098808f, -0.499837f, -0.359778f, 0.504960f, 0.704157f, 0.093543f, -0.006951f };
static float mynet_buf1[8];
static float mynet_buf2[8];
static const EmlNetLayer mynet_layers[2] = { 
{ 8, 4, mynet_layer_0_weights, mynet_layer_0_biases, EmlNetActivationLogistic }, 
{ 3, 8, mynet_layer_1_weights, mynet_layer_1_biases, EmlNetActivationSoftmax } };
static EmlNet mynet = { 2, mynet_layers, mynet_buf1, mynet_buf2, 8 };

    int32_t
    mynet_predict(const float *features, int32_t n_features)
    {
        return eml_net_predict(&mynet, features, n_features);
    }
    

    int32_t
    mynet_regress(const float *features, int32_t n_features, float *out, int32_t out_length)
    {
        return eml_net_regress(&mynet, features, n_features, out, out_length);
    }
    

    float
    mynet_regress1(const float *features, int32_t n_features)
    {
        return eml_net_regress1(&mynet, features, n_features);
    }
    